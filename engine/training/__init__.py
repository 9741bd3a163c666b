"""Training: one loop that reads from top to bottom, and the parts it uses."""
