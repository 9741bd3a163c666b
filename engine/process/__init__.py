"""This process and the machine it runs on: exit status, progress, device, folders."""
