"""What this server gives a user and what it does to their jobs, looked at line by line, each with a remedy."""
