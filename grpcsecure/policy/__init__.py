"""Who may call what: identities and rules, compiled, and the decision on a call.

Knows no gRPC, no TLS, no config, no clock, and does no I/O: plain values in, plain
values out. Fails closed.
"""
