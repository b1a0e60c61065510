"""Changes while the server runs: reloads, expiry, connections no longer valid."""
