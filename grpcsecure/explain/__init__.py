"""Explanations of decisions, and the table of allowed calls: data, then renderers."""
