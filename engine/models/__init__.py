"""Networks, built by name from their config."""
