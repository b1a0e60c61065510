"""The server process's side of the bridge: starts, controls and observes it."""
