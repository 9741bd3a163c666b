"""The engine process: start it with its locks, signal it, and kill the processes that it leaves behind."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from engine.contract.names import ENGINE_GIT_ENV, JOB_DIR_ENV, LEASES_ENV, LOG
from xray_tui.jobs.locks import file_lock
from xray_tui.jobs.model.job import Job
from xray_tui.system import process
from xray_tui.system.process import Process

PATIENCE = 10.0
"""Seconds to wait for killed processes to disappear; a process that hangs in the kernel may never do so."""


def environment(job: Job, folder: Path, locks: Sequence[int], base: Mapping[str, str]) -> dict[str, str]:
    """The engine's environment: `base`, the job's marks, and its GPUs by UUID (empty for the CPU)."""
    return {
        **base,
        "CUDA_VISIBLE_DEVICES": ",".join(job.gpus),
        "PYTHONUNBUFFERED": "1",
        JOB_DIR_ENV: str(folder),
        process.JOB_MARK: job.id,
        process.RUN_MARK: job.spec.run,
        LEASES_ENV: ",".join(map(str, locks)),
        **({} if job.source is None else {ENGINE_GIT_ENV: job.source.git}),
    }


def start(job: Job, folder: Path, locks: Sequence[int]) -> subprocess.Popen[bytes]:
    """Start the engine in its own process group and append its output to the job's log.

    The engine inherits the descriptors in `locks` (the GPU locks and the engine lock). Raises OSError, and ValueError
    for arguments that cannot be passed to a process, such as one with a NUL character.
    """
    with (folder / LOG).open("ab") as log:
        return subprocess.Popen(
            [*job.engine, *job.spec.argv],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=job.cwd or None,
            env=environment(job, folder, locks, os.environ),
            pass_fds=tuple(locks),
            process_group=0,
        )


def start_failure(error: OSError | ValueError) -> str:
    """Why a program could not be started, with its path."""
    if not isinstance(error, OSError) or error.filename is None or error.strerror is None:
        return str(error)
    missing = isinstance(error, FileNotFoundError)
    hint = " (the program, or the interpreter that its first line names)" if missing else ""
    return f"{error.filename}: {error.strerror}{hint}"


class Child:
    """An engine that this process has started; SIGCHLD reports its end."""

    poll = 5.0
    """Poll interval of `has_ended` in seconds."""

    def __init__(self, started: subprocess.Popen[bytes]) -> None:
        self._started = started
        self.group = started.pid
        """Its process group."""

    @property
    def status(self) -> int:
        """The exit status; to be read after the end."""
        return self._started.wait()

    def has_ended(self) -> bool:
        """Does not reap the process, so that its group id cannot be reused; `status` reaps it."""
        return os.waitid(os.P_PID, self._started.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def signal(self, number: int) -> None:
        """Signal the engine's process group, and continue stopped processes, which would not react otherwise."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._started.pid, number)
            os.killpg(self._started.pid, signal.SIGCONT)


class Adopted:
    """An engine whose supervisor was killed. Not a child of this process, so its engine lock (`.run`) shows its end."""

    poll = 0.5
    status = None
    """The exit status is unknown: another process started the engine."""

    def __init__(self, job: Job, engine_lock: Path) -> None:
        self._job, self._engine_lock = job, engine_lock

    @property
    def group(self) -> int | None:
        """Its process group; None once the id may belong to other processes."""
        leader = self._job.process
        return leader.pid if leader is not None and process.is_alive(leader) else None

    def has_ended(self) -> bool:
        return not file_lock.is_held(self._engine_lock)

    def signal(self, number: int) -> None:
        _signal_all(process.members(self._job.id, self.group), number)


Engine = Child | Adopted


def clear_away(job: str, group: int | None) -> bool:
    """Kill all processes of the job except this one. Return False if one of them is still alive after PATIENCE seconds.
    `group` is the job's process group, or None if the id may belong to other processes (see process.members)."""
    deadline, pause = time.monotonic() + PATIENCE, 0.01
    while members := [member for member in process.members(job, group) if member.pid != os.getpid()]:
        if time.monotonic() > deadline:
            return False
        _signal_all(members, signal.SIGKILL)
        time.sleep(pause)
        pause = min(2 * pause, 0.5)
    return True


def _signal_all(members: Sequence[Process], number: int) -> None:
    for member in members:
        process.send(member, number)
        process.send(member, signal.SIGCONT)
