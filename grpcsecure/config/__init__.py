"""Config loading, from text to model: source, YAML, variables, profile, schema."""
