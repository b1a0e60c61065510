"""One call: its caller, its authorization, and the handler that serves it."""
