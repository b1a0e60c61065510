"""Key material, certificates and the two engines; knows no policy."""
