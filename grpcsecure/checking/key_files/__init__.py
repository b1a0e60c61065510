"""Checks of files: certificates, keys, client CAs, revocation lists."""
