"""Processes as the kernel tells of them: who is who, on which boot of which host, and which belong to a job.

Start times are /proc's clock ticks since boot, not times of day: those move when the clock is set.
"""

from __future__ import annotations

import os
import pwd
import signal
import socket
from collections.abc import Iterable, Iterator
from pathlib import Path

from engine.contract.text import clean
from xray_tui.jobs.job import Job, Process

JOB_MARK = "XRAY_TUI_JOB"
RUN_MARK = "XRAY_TUI_RUN"
"""In the environment of every engine and of all it starts: the job's id and its run."""


def host() -> str:
    return clean(socket.gethostname())


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


def identify(pid: int) -> Process | None:
    """The process that has this pid now, a zombie too; None for none."""
    fields = _stat(pid)
    return None if fields is None else Process(pid, int(fields[19]))


def is_alive(process: Process) -> bool:
    """Whether this very process lives; a zombie does not."""
    fields = _stat(process.pid)
    return fields is not None and fields[0] != "Z" and int(fields[19]) == process.start


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
        fields = _stat(pid)
        if fields is None or fields[0] == "Z":
            continue
        if (group is not None and int(fields[2]) == group) or mark in _environment(pid):
            found.append(Process(pid, int(fields[19])))
    return found


def runs_by_pid(pids: Iterable[int], jobs: Iterable[Job]) -> dict[int, str]:
    """The run that each of the processes works for, as far as can be known: by its mark, else by its process group."""
    groups = {job.process.pid: job.spec.run for job in jobs if job.process is not None and not job.state.ended}
    prefix = f"{RUN_MARK}=".encode()
    found = {}
    for pid in pids:
        marked = next((item for item in _environment(pid) if item.startswith(prefix)), None)
        if marked is not None:
            found[pid] = clean(marked[len(prefix) :].decode("utf-8", "replace"))
        elif (fields := _stat(pid)) is not None and int(fields[2]) in groups:
            found[pid] = groups[int(fields[2])]
    return found


def _pids() -> Iterator[int]:
    for name in os.listdir("/proc"):  # noqa: PTH208 - names alone, a thousand of them
        if name.isdecimal():
            yield int(name)


def _stat(pid: int) -> list[str] | None:
    """The fields of /proc/PID/stat from the state on: [0] state, [2] process group, [19] start."""
    try:
        text = Path(f"/proc/{pid}/stat").read_bytes().decode("latin-1")
    except OSError:
        return None
    return text[text.rindex(")") + 2 :].split()


def _environment(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return []
