"""The memory limit of the container, or of the systemd slice or Slurm step, that this process runs in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes. What is used can be given back by nobody but the processes: a file cache is not in it."""

    used: int
    total: int

    @property
    def left(self) -> int:
        return self.total - self.used


@dataclass(frozen=True, slots=True)
class _Version:
    """Where one version of cgroups keeps what we ask for."""

    limit: str
    usage: str
    cache: str
    """The line of memory.stat with the file cache that the kernel drops before it kills anybody."""


_V1 = _Version("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
_V2 = _Version("memory.max", "memory.current", "inactive_file")


def limited_memory(own: str, root: Path = ROOT) -> Memory | None:
    """The tightest of the limits that hold for a process whose /proc/PID/cgroup says `own`; None where none does.

    A limit holds for all groups below, so those above are asked as well. Version 1 says "no limit" by a number that no
    machine has, which is not told apart here.
    """
    found = []
    for line in own.splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if not controllers:
            found += list(_limits(root, path, _V2))
        elif "memory" in controllers.split(","):
            found += list(_limits(root / "memory", path, _V1))
    return min(found, key=lambda memory: memory.left, default=None)


def _limits(base: Path, path: str, version: _Version) -> Iterator[Memory]:
    """A container may see its own group as the root and yet be told its path on the host, which is not there then."""
    parts = [part for part in path.split("/") if part]
    for count in range(len(parts) if ".." not in parts else 0, -1, -1):
        folder = base.joinpath(*parts[:count])
        try:
            limit = (folder / version.limit).read_text().strip()
            if limit != "max":
                used = int((folder / version.usage).read_text()) - _cache(folder, version)
                yield Memory(max(0, used), int(limit))
        except (OSError, ValueError):
            continue


def _cache(folder: Path, version: _Version) -> int:
    for line in (folder / "memory.stat").read_text().splitlines():
        name, _, value = line.partition(" ")
        if name == version.cache:
            return int(value)
    return 0
