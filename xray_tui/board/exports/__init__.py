"""The board as a file: one module per format or group of formats."""
