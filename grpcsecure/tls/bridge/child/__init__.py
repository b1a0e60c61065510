"""The process of the bridge: accepts, shakes hands, pipes decrypted bytes."""
