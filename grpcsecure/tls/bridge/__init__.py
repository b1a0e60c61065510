"""Engine `bridge`: a TLS terminator for all five modes, in front of grpcio.

One TLS connection becomes one connection to the server's unix socket, bound to a fresh
name. The server looks that name up to learn who the client is. `parent` runs in the
server process, `child` in the bridge's own process, `ipc` is what they exchange.
"""
