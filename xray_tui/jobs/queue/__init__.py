"""Tickets, admission, GPU allocation, scheduling."""
