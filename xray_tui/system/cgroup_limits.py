"""The memory limit of the container, systemd slice or Slurm step in which this process runs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from xray_tui.system.cgroups import ROOT, memory_groups


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes. `used` excludes the file cache, which the kernel can drop."""

    used: int
    total: int

    @property
    def left(self) -> int:
        return self.total - self.used


@dataclass(frozen=True, slots=True)
class _Version:
    """Names of the files of one version of cgroups."""

    limit: str
    usage: str
    cache: str
    """The line of memory.stat with the file cache that the kernel drops before it kills a process."""


_V1 = _Version("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
_V2 = _Version("memory.max", "memory.current", "inactive_file")


def limited_memory(own: str, root: Path = ROOT) -> Memory | None:
    """The limit with the least memory left among those of the process's group and the groups above it; None without a
    limit. `own` is the text of /proc/PID/cgroup.

    Version 1 of cgroups writes "no limit" as a number larger than any machine's memory; it is returned as a limit.
    """
    limits = (_limit(folder, _V1 if version == 1 else _V2) for version, folder in memory_groups(own, root))
    return min((memory for memory in limits if memory is not None), key=lambda memory: memory.left, default=None)


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
