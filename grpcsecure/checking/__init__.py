"""The phases of checking a config: for `validate`, `serve`, reload and `explain`."""
