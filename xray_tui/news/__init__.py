"""What has happened in a runs folder while one was away. No Textual."""
