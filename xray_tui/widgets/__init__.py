"""The widgets of the screens, and the pure functions that format them."""
