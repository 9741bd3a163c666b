"""The kernel's out-of-memory kills in the control group of a job."""

from __future__ import annotations

from pathlib import Path

from xray_tui.system.cgroups import ROOT, memory_groups

_OOM_FILES = {1: "memory.oom_control", 2: "memory.events"}
"""The file with the counter `oom_kill`, by cgroup version."""


def oom_kills(own: str, root: Path = ROOT) -> int | None:
    """The number of out-of-memory kills since boot in a process's group and its subgroups; None if it is unknown.

    `own` is the content of the process's /proc/PID/cgroup. Compare two readings: the counter never restarts.
    """
    counts = (_count(folder / _OOM_FILES[version]) for version, folder in memory_groups(own, root))
    return next((count for count in counts if count is not None), None)


def own_oom_kills() -> int | None:
    """`oom_kills` of this process's group, which includes its children."""
    try:
        return oom_kills(Path("/proc/self/cgroup").read_text())
    except OSError:
        return None


def _count(path: Path) -> int | None:
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        name, _, value = line.partition(" ")
        if name == "oom_kill" and value.isdecimal():
            return int(value)
    return None
