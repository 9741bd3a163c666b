"""Other people's data: formats, layouts and findings, made into a manifest and masks."""
