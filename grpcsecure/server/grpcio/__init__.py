"""Code that depends on private names of grpcio, and the guards of these names."""
