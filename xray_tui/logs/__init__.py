"""Reading log files and training curves."""
