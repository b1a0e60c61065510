"""Key material, certificates and the two TLS engines; knows nothing of policies."""
