"""Launch forms: schema, fields, state, request."""
