"""Checks of identities, rules and policy tests."""
