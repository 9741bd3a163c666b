"""The launch forms, from the config schema to the launch request."""
