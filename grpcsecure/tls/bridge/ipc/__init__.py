"""The control channel between server process and bridge: frames and messages."""
