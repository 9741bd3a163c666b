"""Start a process that outlives its starter: neither a child of it nor in its session, deaf to its terminal."""

from __future__ import annotations

import errno
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from xray_tui.jobs.storage.saved_environment import kept_or_own

SUPERVISOR = (sys.executable, "-P", "-m", "xray_tui.jobs.supervise.supervisor")
"""-P: the folder one happens to stand in is no place to import from."""

WORDS = "supervisor.txt"
"""What a supervisor said that failed, before it began or by an exception, in the job's folder. One that has begun
empties it first (a loader that warns of something has not failed), and one that was killed leaves it empty."""

STDERR = "supervisor.err"
"""Where one that has begun, and what it starts, says the rest."""

_BACKGROUND = '"$@" &'


def start_supervisors(jobs: Sequence[tuple[Path, int]], command: Sequence[str] = SUPERVISOR) -> None:
    """Start the supervisors of jobs that were launched together: of each its folder, and the descriptor of its `.sup`
    lock, which the supervisor inherits.

    The caller closes its own descriptors afterwards, whatever happens. A shell in a session of its own puts the process
    in the background and ends: so it is no child of this process, leaves no zombie, and is no session leader that could
    gain a terminal. That takes a few milliseconds, where a fork of a large app with threads would be slow and unsafe.
    Their environment, and so the engines', is that of the launch. Raises OSError.
    """
    first = jobs[0][0]
    with (first / WORDS).open("ab") as words:
        done = subprocess.run(
            ["/bin/sh", "-c", _BACKGROUND, "sh", *command, *(str(word) for job in jobs for word in job)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=words,
            cwd="/",
            env=kept_or_own(first),
            pass_fds=tuple(held for _, held in jobs),
            start_new_session=True,
            check=False,
        )
    if done.returncode != 0:
        raise OSError(errno.EAGAIN, f"the supervisor could not be started (sh ended with {done.returncode})")
