"""Engine `bridge`: a TLS terminator for all five modes, in front of grpcio.

Each TLS connection gets its own connection to the server's unix socket, bound to a
fresh name. The server looks that name up to identify the client. `parent` runs in the
server process, `child` in the bridge process; `ipc` holds the messages between them.
"""
