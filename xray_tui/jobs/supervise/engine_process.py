"""The engine's process: how it is started with its leases, asked to end, and cleared away with all it started."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from engine.contract.names import ENGINE_GIT_ENV, JOB_DIR_ENV, LEASES_ENV, LOG
from xray_tui.jobs.locks import file_lock
from xray_tui.jobs.model.job import Job
from xray_tui.system import process
from xray_tui.system.process import Process

PATIENCE = 10.0
"""Seconds to wait for killed processes to be gone: one that hangs in the kernel may take for ever."""


def environment(job: Job, folder: Path, leases: Sequence[int], base: Mapping[str, str]) -> dict[str, str]:
    """The engine's environment: that of the launch, the job's marks, and its GPUs by UUID (none: CPU)."""
    return {
        **base,
        "CUDA_VISIBLE_DEVICES": ",".join(job.gpus),
        "PYTHONUNBUFFERED": "1",
        JOB_DIR_ENV: str(folder),
        process.JOB_MARK: job.id,
        process.RUN_MARK: job.spec.run,
        LEASES_ENV: ",".join(map(str, leases)),
        **({} if job.source is None else {ENGINE_GIT_ENV: job.source.git}),
    }


def start(job: Job, folder: Path, leases: Sequence[int]) -> subprocess.Popen[bytes]:
    """Start the engine in a process group of its own, its output appended to the job's log.

    It inherits the descriptors in `leases` (GPU locks and the job's `.run`). Raises OSError, and ValueError for
    arguments that no process can be given.
    """
    with (folder / LOG).open("ab") as log:
        return subprocess.Popen(
            [*job.engine, *job.spec.argv],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=job.cwd or None,
            env=environment(job, folder, leases, os.environ),
            pass_fds=tuple(leases),
            process_group=0,
        )


class Engine(Protocol):
    """An engine that runs, whoever started it."""

    @property
    def poll(self) -> float:
        """Seconds after which to ask again whether it has ended."""

    @property
    def group(self) -> int | None:
        """The number of its process group, as long as that is known to be the job's."""

    @property
    def status(self) -> int | None:
        """The exit status, once it has ended; None where nobody is there to take it."""

    def has_ended(self) -> bool: ...

    def signal(self, number: int) -> None:
        """Signal it and all it started, and wake what is stopped, or that would never hear of it."""


class Child:
    """An engine that this process has started: its end arrives as a signal."""

    poll = 5.0

    def __init__(self, started: subprocess.Popen[bytes]) -> None:
        self._started = started
        self.group = started.pid

    @property
    def status(self) -> int | None:
        return self._started.wait()

    def has_ended(self) -> bool:
        """It is left unreaped until its status is asked for, so that its group's number cannot be used again."""
        return os.waitid(os.P_PID, self._started.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._started.pid, number)
            os.killpg(self._started.pid, signal.SIGCONT)


class Adopted:
    """An engine whose own supervisor was killed. It is no child here: its `.run` lock tells when it has ended."""

    poll = 0.5
    status = None

    def __init__(self, job: Job, alive: Path) -> None:
        self._job, self._alive = job, alive

    @property
    def group(self) -> int | None:
        leader = self._job.process
        return leader.pid if leader is not None and process.is_alive(leader) else None

    def has_ended(self) -> bool:
        return not file_lock.is_held(self._alive)

    def signal(self, number: int) -> None:
        _signal_all(process.members(self._job.id, self.group), number)


def clear_away(job: str, group: int | None) -> bool:
    """Kill whatever is left of the job but this process, and wait until it is gone. False where something does not die.

    `group` only while its number is known to be the job's (see process.members).
    """
    deadline, pause = time.monotonic() + PATIENCE, 0.01
    while found := [member for member in process.members(job, group) if member.pid != os.getpid()]:
        if time.monotonic() > deadline:
            return False
        _signal_all(found, signal.SIGKILL)
        time.sleep(pause)
        pause = min(2 * pause, 0.5)
    return True


def _signal_all(found: Sequence[Process], number: int) -> None:
    for member in found:
        process.send(member, number)
        process.send(member, signal.SIGCONT)
