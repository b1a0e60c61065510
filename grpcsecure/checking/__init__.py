"""The phases that check a config, for `validate`, `serve`, reload and `explain`."""
