"""Whether the kernel has killed for want of memory in the control group that a job runs in."""

from __future__ import annotations

from pathlib import Path

from xray_tui.system.cgroups import ROOT, memory_groups

_TOLD_IN = {1: "memory.oom_control", 2: "memory.events"}
"""By version: the file whose line `oom_kill` counts."""


def oom_kills(own: str, root: Path = ROOT) -> int | None:
    """How many processes the kernel has killed by now in the group of a process whose /proc/PID/cgroup says `own`, and
    below it; None where that is not told. Only a difference between two looks says something.
    """
    counts = (_count(folder / _TOLD_IN[version]) for version, folder in memory_groups(own, root))
    return next((count for count in counts if count is not None), None)


def own_oom_kills() -> int | None:
    """The same for this process's group, in which its children are too."""
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
        word, _, value = line.partition(" ")
        if word == "oom_kill" and value.isdecimal():
            return int(value)
    return None
