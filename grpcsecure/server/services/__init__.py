"""The user's servicers and gRPC's own: loaded, checked, listed and registered."""
