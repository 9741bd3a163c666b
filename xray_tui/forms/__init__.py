"""The launch forms: schema, fields, state, request."""
