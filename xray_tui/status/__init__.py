"""What ended, what runs, and what is new since the last visit."""
