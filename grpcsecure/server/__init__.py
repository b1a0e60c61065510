"""The running server: services, contexts, lifecycle."""
