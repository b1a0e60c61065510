"""OpenSSL through pyOpenSSL: contexts, streams, checks of client certificates."""
