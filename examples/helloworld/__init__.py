"""The greeter: an ordinary grpcio service, with no TLS code of its own."""
