"""The bridge process: accepts clients, makes TLS handshakes, forwards plain bytes."""
