"""The part of the bridge in the server process: starts, controls and observes it."""
