"""Config loading, from text to model: YAML, includes, variables, profile, schema."""
