"""The memory limit of the container, or of the systemd slice or Slurm step, that this process runs in."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from xray_tui.system.cgroups import ROOT, memory_groups


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
    found = (_limit(folder, _V1 if version == 1 else _V2) for version, folder in memory_groups(own, root))
    return min((memory for memory in found if memory is not None), key=lambda memory: memory.left, default=None)


def _limit(folder: Path, version: _Version) -> Memory | None:
    try:
        limit = (folder / version.limit).read_text().strip()
        if limit == "max":
            return None
        used = int((folder / version.usage).read_text()) - _cache(folder, version)
        return Memory(max(0, used), int(limit))
    except (OSError, ValueError):
        return None


def _cache(folder: Path, version: _Version) -> int:
    for line in (folder / "memory.stat").read_text().splitlines():
        name, _, value = line.partition(" ")
        if name == version.cache:
            return int(value)
    return 0
