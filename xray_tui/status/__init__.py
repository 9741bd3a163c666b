"""The report since the last visit: jobs that ended, run or wait, and new results on the board."""
