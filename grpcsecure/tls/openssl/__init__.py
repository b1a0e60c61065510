"""OpenSSL through pyOpenSSL: contexts, TLS streams, and the check of a client certificate."""
