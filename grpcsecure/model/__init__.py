"""What a checked config is, as frozen values; the standard library only."""
