"""Checks and estimates before a launch."""
