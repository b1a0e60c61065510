"""Watched files: a digest of their contents, events as hints, and when to try a reload.

Knows no TLS: the config file is watched by the same code as certificates.
"""
