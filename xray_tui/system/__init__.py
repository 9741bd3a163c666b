"""Facts about this machine: processes, mounts, cgroups, login session, disk."""
