"""One call: who makes it, whether it is allowed, and the handler that serves it."""
