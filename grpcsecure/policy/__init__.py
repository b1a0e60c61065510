"""The authorization policy: compiled identities and rules, and decisions on calls.

Knows neither gRPC, TLS, the config file nor the clock, and does no I/O: functions of
plain values. Fails closed.
"""
