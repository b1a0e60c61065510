"""OpenSSL through pyOpenSSL: contexts, streams and checks of client certificates."""
