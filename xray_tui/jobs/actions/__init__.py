"""Stop, hold, move and resume jobs."""
