"""The app, the services it starts, the messages they post, and what keys do."""
