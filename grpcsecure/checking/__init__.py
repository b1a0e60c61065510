"""The phases that check a config; `validate`, `serve`, reload and `explain` share them."""
