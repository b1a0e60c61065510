"""Changes while the server runs: reloads, expiring certificates, invalid connections."""
