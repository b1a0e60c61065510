"""Checks of listeners: addresses and TLS settings."""
