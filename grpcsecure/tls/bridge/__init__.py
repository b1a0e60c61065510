"""The TLS bridge: a terminator for all five modes, in front of an ordinary server.

One TLS connection becomes one connection to the server's unix socket, under a name
that leads the server to the certificate. `supervisor` is what a launcher starts,
`registry` what it asks; the rest runs in the bridge's own process (or thread).
"""
