"""Engine `grpc`: key material for grpcio's own TLS, swapped while the server runs."""
