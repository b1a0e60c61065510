"""The user's servicers and gRPC's own: loading, checks, inventory, registration."""
