"""The model of a checked config: frozen values; imports only the standard library."""
