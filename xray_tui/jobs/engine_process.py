"""The engine's process: how it is started with its leases, asked to end, and cleared away with all it started."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from engine.contract.names import ENGINE_GIT_ENV, JOB_DIR_ENV, LEASES_ENV, LOG
from xray_tui.jobs import process
from xray_tui.jobs.job import Job, Process

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


def has_ended(engine: subprocess.Popen[bytes]) -> bool:
    """Whether it has; it is left unreaped, so that the number of its process group cannot be used again yet."""
    return os.waitid(os.P_PID, engine.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def signal_all(found: Sequence[Process], number: int) -> None:
    """Signal each of the processes, and wake those that are stopped, or they would never hear of it."""
    for member in found:
        process.send(member, number)
        process.send(member, signal.SIGCONT)


def signal_group(engine: subprocess.Popen[bytes], number: int) -> None:
    """Signal the whole process group of an engine that has not been reaped."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(engine.pid, number)
        os.killpg(engine.pid, signal.SIGCONT)


def clear_away(job: str, group: int | None) -> bool:
    """Kill whatever is left of the job but this process, and wait until it is gone. False where something does not die.

    `group` only while its number is known to be the job's (see process.members).
    """
    deadline = time.monotonic() + PATIENCE
    while found := [member for member in process.members(job, group) if member.pid != os.getpid()]:
        if time.monotonic() > deadline:
            return False
        signal_all(found, signal.SIGKILL)
        time.sleep(0.01)
    return True
