"""The folder runs/.jobs."""
