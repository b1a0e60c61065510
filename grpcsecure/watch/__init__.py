"""File watching: a digest of contents, file system events, and when to try a reload.

Knows nothing of TLS: the config file is watched by the same code as certificates.
"""
