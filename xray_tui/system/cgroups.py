"""The control groups that a process runs in, of either version, as far as memory is concerned."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")


def memory_groups(own: str, root: Path = ROOT) -> Iterator[tuple[int, Path]]:
    """(version, folder) of each group that a process is in whose /proc/PID/cgroup says `own`: its own group first, then
    those above, up to the root of what can be seen.

    A folder may be missing: a container may see its own group as the root and yet be told its path on the host.
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
