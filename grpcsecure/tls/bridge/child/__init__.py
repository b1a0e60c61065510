"""The side of the bridge that runs in its own process: accepts, shakes hands, pipes bytes."""
