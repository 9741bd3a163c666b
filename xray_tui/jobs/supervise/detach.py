"""Start supervisors as daemons that outlive the calling process, its session and its terminal."""

from __future__ import annotations

import errno
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from xray_tui.jobs.storage.saved_environment import kept_or_own

SUPERVISOR = (sys.executable, "-P", "-m", "xray_tui.jobs.supervise.supervisor")
"""The command of a supervisor; -P keeps the working directory out of the import path."""

WORDS, STDERR = "supervisor.txt", "supervisor.err"
"""Files in the job's folder: the first says why a supervisor failed (a start-up error or a traceback; empty if it was
killed), the second has the stderr of a started supervisor and of its helper processes."""

_BACKGROUND = '"$@" &'


def start_supervisors(jobs: Sequence[tuple[Path, int]], command: Sequence[str] = SUPERVISOR) -> None:
    """Start the supervisors of jobs that were launched together, with the environment of the launch.

    `jobs` are pairs of a job's folder and the descriptor of its supervisor lock, which the supervisor inherits. The
    caller closes its own descriptors afterwards, also after an error. Raises OSError.
    """
    first = jobs[0][0]
    words = (str(word) for job in jobs for word in job)
    with (first / WORDS).open("ab") as stderr:
        code = start_daemon([*command, *words], kept_or_own(first), stderr, tuple(lock for _, lock in jobs))
    if code != 0:
        raise OSError(errno.EAGAIN, f"the supervisor could not be started (sh exited with code {code})")


def start_daemon(
    command: Sequence[str], environment: Mapping[str, str], stderr: IO[bytes] | int, locks: Sequence[int] = ()
) -> int:
    """Start a process that outlives this one; it inherits the descriptors in `locks`. Returns the shell's exit code.

    A shell in its own session starts the process in the background and exits, so the process leaves no zombie here and
    is no session leader, which could acquire a terminal. Forking a large threaded app would be unsafe. Raises OSError.
    """
    return subprocess.run(
        ["/bin/sh", "-c", _BACKGROUND, "sh", *command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=stderr,
        cwd="/",
        env=environment,
        pass_fds=locks,
        start_new_session=True,
        check=False,
    ).returncode
