"""The memory control groups (version 1 or 2) of a process, their limits, and whether this is a container."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")

_FILES = {
    1: ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    2: ("memory.max", "memory.current", "inactive_file"),
}
"""By version: the names of the limit and usage files, and the key in memory.stat of the file cache, which the kernel
drops before it kills a process."""


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes. `used` excludes the file cache, which the kernel can drop."""

    used: int
    total: int

    @property
    def left(self) -> int:
        return self.total - self.used


def is_container(root: Path = Path("/")) -> bool:
    """Whether a file of Docker, Podman or Singularity exists below the root folder."""
    return any((root / mark).exists() for mark in (".dockerenv", "run/.containerenv", ".singularity.d"))


def memory_groups(own: str, root: Path = ROOT) -> Iterator[tuple[int, Path]]:
    """(version, folder) of the process's group and of each group above it, up to `root`. `own` is the text of
    /proc/PID/cgroup.

    A folder may be missing: in a container `root` may be the container's group although `own` has the host's path.
    """
    for line in own.splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if not controllers:
            version, base = 2, root
        elif "memory" in controllers.split(","):
            version, base = 1, root / "memory"
        else:
            continue
        parts = [part for part in path.split("/") if part]
        for count in range(len(parts) if ".." not in parts else 0, -1, -1):
            yield version, base.joinpath(*parts[:count])


def limited_memory(own: str, root: Path = ROOT) -> Memory | None:
    """The limit with the least memory left among those of the process's group and the groups above it; None if there is
    no limit. `own` is the text of /proc/PID/cgroup.

    Version 1 of cgroups writes "no limit" as a number larger than any machine's memory; it is returned as a limit.
    """
    limits = (_limit(folder, *_FILES[version]) for version, folder in memory_groups(own, root))
    return min(filter(None, limits), key=lambda memory: memory.left, default=None)


def _limit(folder: Path, limit: str, usage: str, cache: str) -> Memory | None:
    try:
        total = int((folder / limit).read_text())  # ValueError for "max"
        counts = dict(line.split(" ", 1) for line in (folder / "memory.stat").read_text().splitlines())
        return Memory(max(0, int((folder / usage).read_text()) - int(counts.get(cache, 0))), total)
    except (OSError, ValueError):
        return None


def oom_kills(own: str | None = None, root: Path = ROOT) -> int | None:
    """The number of out-of-memory kills since boot in a process's group and its subgroups; None if it is unknown.

    `own` is the text of the process's /proc/PID/cgroup, by default this process's. The counter is never reset, so
    compare two readings.
    """
    own = Path("/proc/self/cgroup").read_text() if own is None else own
    for version, folder in memory_groups(own, root):
        events = folder / ("memory.oom_control" if version == 1 else "memory.events")
        with suppress(OSError, ValueError):
            counts = dict(line.split(" ", 1) for line in events.read_text().splitlines())
            return int(counts.get("oom_kill", ""))
    return None
