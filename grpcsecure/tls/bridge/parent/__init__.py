"""The side of the bridge that runs in the server process: starts, controls and observes it."""
