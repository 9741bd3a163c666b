"""The app, the services it starts, the messages they post, and the actions of the keys."""
