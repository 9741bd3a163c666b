"""Who holds a lock, and what stands where a lock file should: for words to users, never to decide anything.

The kernel's list leaves out locks of processes outside of a container, names the process that took a lock though a
child of it holds it by now, and on btrfs its device numbers are not those of stat (see standing.leased).
"""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

from xray_tui.jobs import process

LOCKS = Path("/proc/locks")

_KINDS = {stat.S_IFIFO: "a pipe", stat.S_IFLNK: "a link", stat.S_IFDIR: "a folder", stat.S_IFREG: "a file"}


def holder(path: Path, locks: Path = LOCKS) -> str | None:
    """`pid 4711 (alice)` of who holds the lock alone, or `pid 4711 (alice, stopped) and 2 more` of those who share it.

    None where the kernel names nobody.
    """
    pids = _pids(path, locks)
    if not pids:
        return None
    more = f" and {len(pids) - 1} more" if len(pids) > 1 else ""
    return f"{_named(pids[0])}{more}"


def in_its_place(path: Path) -> str:
    """What stands there, and whose it is: `a pipe of bob`. Raises OSError."""
    found = path.lstat()
    return f"{_KINDS.get(stat.S_IFMT(found.st_mode), 'a device')} of {process.user_name(found.st_uid)}"


def _pids(path: Path, locks: Path) -> list[int]:
    """Lines are such as `1: FLOCK  ADVISORY  WRITE 4711 fe:00:2589278 0 EOF`; with `->` after the number one waits."""
    try:
        there = path.lstat()
        lines = locks.read_text("ascii", "replace").splitlines()
    except OSError:
        return []
    wanted = f"{os.major(there.st_dev):02x}:{os.minor(there.st_dev):02x}:{there.st_ino}"
    fields = (line.split() for line in lines)
    return [int(each[4]) for each in fields if each[1:2] == ["FLOCK"] and each[5:6] == [wanted] and each[4].isdigit()]


def _named(pid: int) -> str:
    """The process, and where they are to be seen its user and that it is stopped or waits for a disk."""
    known = process.stat(pid)
    whose = None
    with contextlib.suppress(OSError, ValueError, StopIteration):
        lines = Path(f"/proc/{pid}/status").read_text("utf-8", "replace").splitlines()
        whose = process.user_name(int(next(line.split()[1] for line in lines if line.startswith("Uid:"))))
    how = {"T": "stopped", "t": "stopped", "D": "waits for a disk"}.get(known.state if known else "")
    told = ", ".join(filter(None, (whose, how)))
    return f"pid {pid} ({told})" if told else f"pid {pid}, which is gone or hidden"
