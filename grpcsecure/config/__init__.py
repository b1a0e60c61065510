"""From text to a checked config: source, YAML, variables, profile, schema, model."""
