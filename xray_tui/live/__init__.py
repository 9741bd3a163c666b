"""Threads that follow files and devices, and post what they saw. They touch no widget, and end at once when asked."""
