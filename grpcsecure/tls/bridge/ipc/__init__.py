"""The control channel between server process and bridge process."""
