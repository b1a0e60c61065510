"""What can be wrong with a config beyond its schema, one module per subject."""
