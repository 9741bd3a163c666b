"""Processes in /proc: their identity, their boot and host, and the processes of a job.

Start times are in clock ticks since boot, so they do not change when the clock is set.
"""

from __future__ import annotations

import os
import pwd
import signal
from dataclasses import dataclass
from pathlib import Path

from engine.contract import names
from engine.contract.text import clean

JOB_MARK = "XRAY_TUI_JOB"
RUN_MARK = names.RUN_ENV
"""Environment variables with the job's id and its run, in every engine process and its children."""


@dataclass(frozen=True, slots=True)
class Process:
    """A process, identified by pid and start time, because a pid can be reused."""

    pid: int
    start: int
    """Clock ticks from boot to the start of the process."""


@dataclass(frozen=True, slots=True)
class Stat:
    """Fields of /proc/PID/stat."""

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
    """The kernel's id of this boot; empty if it cannot be read."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def user() -> str:
    """Name of the user of this process; $USER is not read."""
    return user_name(os.getuid())


def user_name(uid: int) -> str:
    try:
        return clean(pwd.getpwuid(uid).pw_name)
    except KeyError:
        return f"uid {uid}"


def stat(pid: int) -> Stat | None:
    """The process that now has this pid, even a zombie; None if there is none or it is hidden (hidepid)."""
    return _stat(Path(f"/proc/{pid}/stat"))


def hangs_in_kernel(pid: int) -> bool:
    """Whether a thread of the process is in a system call that no signal interrupts (state D)."""
    try:
        return any((task := _stat(path)) and task.state == "D" for path in Path(f"/proc/{pid}/task").glob("*/stat"))
    except OSError:
        return False


def _stat(path: Path) -> Stat | None:
    try:
        text = path.read_bytes().decode("latin-1")
    except OSError:
        return None
    fields = text[text.rindex(")") + 2 :].split()  # the name before ")" may contain spaces and brackets
    return Stat(fields[0], int(fields[1]), int(fields[2]), int(fields[3]), int(fields[19]))


def environment(pid: int) -> list[bytes]:
    """The environment at the start of the process, as b"NAME=value"; empty if it cannot be read."""
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return []


def identify(pid: int) -> Process | None:
    """The process that now has this pid, even a zombie; None if there is none."""
    status = stat(pid)
    return None if status is None else Process(pid, status.start)


def is_alive(process: Process) -> bool:
    """Whether the process runs; False for a zombie and for another process with the same pid."""
    status = stat(process.pid)
    return status is not None and status.state != "Z" and status.start == process.start


def send(process: Process, number: int) -> bool:
    """Send signal `number` to the process, never to another one that reuses its pid. Return False if the process is
    gone or belongs to another user."""
    try:
        handle = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return False
    except (AttributeError, OSError):
        handle = None  # a kernel before 5.3, or a Python built on one: the pid may be reused between check and kill
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
    """Running processes with the job's id in their environment (JOB_MARK), or in the process group.

    The variable finds children that left the group; the group finds processes whose environment setproctitle has
    overwritten. Pass a group only while its leader is known to belong to the job, because group ids are reused.
    """
    mark = f"{JOB_MARK}={job}".encode()
    processes = []
    for pid in map(int, filter(str.isdecimal, os.listdir("/proc"))):  # noqa: PTH208 - a Path for each name is slow
        status = stat(pid)
        if status is None or status.state == "Z":
            continue
        if (group is not None and status.group == group) or mark in environment(pid):
            processes.append(Process(pid, status.start))
    return processes
