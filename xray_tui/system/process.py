"""Processes as the kernel tells of them: who is who, on which boot of which host, and which belong to a job.

Start times are /proc's clock ticks since boot, not times of day: those move when the clock is set.
"""

from __future__ import annotations

import os
import pwd
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from engine.contract import names
from engine.contract.text import clean

JOB_MARK = "XRAY_TUI_JOB"
RUN_MARK = names.RUN_ENV
"""In the environment of every engine and of all it starts: the job's id and its run."""


@dataclass(frozen=True, slots=True)
class Process:
    """A process, told apart from a later one with the same pid by its start time."""

    pid: int
    start: int
    """Clock ticks from the machine's start to its own."""


@dataclass(frozen=True, slots=True)
class Stat:
    """Where a process stands among the others."""

    state: str
    """One letter; "Z" for a zombie."""
    parent: int
    group: int
    session: int
    start: int
    """As in Process."""


def host() -> str:
    return clean(os.uname().nodename)


def boot() -> str:
    """The kernel's name for this boot; empty where there is none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def user() -> str:
    """Whose process this is, not what $USER says."""
    return user_name(os.getuid())


def user_name(uid: int) -> str:
    try:
        return clean(pwd.getpwuid(uid).pw_name)
    except KeyError:
        return f"uid {uid}"


def stat(pid: int) -> Stat | None:
    """The process that has this pid now, a zombie too; None for none, and for one that is hidden from us."""
    return _stat(Path(f"/proc/{pid}/stat"))


def hangs_in_kernel(pid: int) -> bool:
    """Whether a thread of the process is in a system call that no signal ends (state D)."""
    try:
        return any((known := _stat(path)) and known.state == "D" for path in Path(f"/proc/{pid}/task").glob("*/stat"))
    except OSError:
        return False


def _stat(path: Path) -> Stat | None:
    try:
        text = path.read_bytes().decode("latin-1")
    except OSError:
        return None
    fields = text[text.rindex(")") + 2 :].split()  # its name, which comes before, may hold blanks and brackets
    return Stat(fields[0], int(fields[1]), int(fields[2]), int(fields[3]), int(fields[19]))


def environment(pid: int) -> list[bytes]:
    """What the process was started with, as b"NAME=value"; nothing where that cannot be read (any more)."""
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return []


def identify(pid: int) -> Process | None:
    """The process that has this pid now, a zombie too; None for none."""
    found = stat(pid)
    return None if found is None else Process(pid, found.start)


def is_alive(process: Process) -> bool:
    """Whether this very process lives; a zombie does not."""
    found = stat(process.pid)
    return found is not None and found.state != "Z" and found.start == process.start


def send(process: Process, number: int) -> bool:
    """Signal this very process, never another that has its pid by now. False where it is gone."""
    try:
        handle = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return False
    except (AttributeError, OSError):
        handle = None  # a kernel before 5.3, or a Python that was built on one: a moment is left between look and kill
    try:
        if not is_alive(process):
            return False
        if handle is None:
            os.kill(process.pid, number)
        else:
            signal.pidfd_send_signal(handle, number)
        return True
    except (ProcessLookupError, PermissionError):
        return False
    finally:
        if handle is not None:
            os.close(handle)


def members(job: str, group: int | None = None) -> list[Process]:
    """Living processes that carry the job's mark, or belong to the process group.

    The mark finds children that left the group; the group finds those whose environment cannot be read any more
    (setproctitle writes over it). Pass a group only while its leader is known to be the job's: numbers are used again.
    """
    mark = f"{JOB_MARK}={job}".encode()
    found = []
    for pid in _pids():
        known = stat(pid)
        if known is None or known.state == "Z":
            continue
        if (group is not None and known.group == group) or mark in environment(pid):
            found.append(Process(pid, known.start))
    return found


def _pids() -> Iterator[int]:
    for name in os.listdir("/proc"):  # noqa: PTH208 - names alone, a thousand of them
        if name.isdecimal():
            yield int(name)
