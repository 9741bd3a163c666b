"""Whether the kernel has killed for want of memory in the control group that a job runs in."""

from __future__ import annotations

from pathlib import Path

ROOT = Path("/sys/fs/cgroup")


def oom_kills(own: str, root: Path = ROOT) -> int | None:
    """How many processes the kernel has killed by now in the group of a process whose /proc/PID/cgroup says `own`, and
    below it; None where that is not told. Only a difference between two looks says something.
    """
    for line in own.splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if not controllers:
            kills = _count(root, path, "memory.events")
        elif "memory" in controllers.split(","):
            kills = _count(root / "memory", path, "memory.oom_control")
        else:
            continue
        if kills is not None:
            return kills
    return None


def own_oom_kills() -> int | None:
    """The same for this process's group, in which its children are too."""
    try:
        return oom_kills(Path("/proc/self/cgroup").read_text())
    except OSError:
        return None


def _count(base: Path, path: str, name: str) -> int | None:
    """A container may see its own group as the root and yet be told its path on the host, which is not there then."""
    parts = [part for part in path.split("/") if part]
    for folder in (base.joinpath(*parts), base) if ".." not in parts else (base,):
        try:
            lines = (folder / name).read_text().splitlines()
        except OSError:
            continue
        for line in lines:
            word, _, value = line.partition(" ")
            if word == "oom_kill" and value.isdecimal():
                return int(value)
    return None
