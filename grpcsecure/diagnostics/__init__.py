"""Findings, the problems of a config as data, and the formats that show them."""
