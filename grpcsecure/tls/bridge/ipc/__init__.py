"""The control channel between the server process and the bridge: frames and messages."""
