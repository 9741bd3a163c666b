"""Networks: built by name from their config, never by subclassing."""
