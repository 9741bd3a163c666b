"""The memory control groups of a process, of version 1 or 2."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")


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
