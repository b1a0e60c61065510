"""Engine `grpc`: grpcio's own TLS, with credentials swapped while the server runs."""
