"""Every private name of grpcio that the server uses, each with its guard."""
