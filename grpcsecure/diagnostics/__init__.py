"""Findings: what is wrong with a config, as data, and how it is shown."""
