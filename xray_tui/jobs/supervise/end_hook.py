"""Run the user's `on_end` command after a job: `python -m xray_tui.jobs.supervise.end_hook JOB_FOLDER`.

The launch saves the command in the job's folder, readable only by the owner because it may contain the secret address
of a chat webhook. A file that another user could have written is ignored. The command runs in its own process, without
any of the job's locks, and its result does not change the job.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from engine.contract.files import write_json
from engine.contract.names import JOB, LOG
from engine.contract.text import clean
from xray_tui.jobs.model.job import Job, parse_object
from xray_tui.jobs.storage.job_store import read_job
from xray_tui.jobs.storage.saved_environment import own_environment
from xray_tui.jobs.supervise import detach
from xray_tui.system.safe_files import not_ours, read_small

COMMAND = "on_end.json"
OUTPUT = "on_end.txt"
"""The output of the command and how it ended, in the job's folder."""

LIMIT = 60.0
"""Seconds after which the command is killed together with its process group."""


def keep(folder: Path, command: Sequence[str]) -> None:
    """Save the command for the end of the job in this folder, unless it is empty. Raises OSError."""
    if command:
        write_json(folder / COMMAND, {"command": list(command)}, 0o600)


def kept(folder: Path) -> tuple[str, ...]:
    """The saved command; empty if there is none, or if another user could have written the file."""
    try:
        if not_ours(folder, COMMAND) is not None:
            return ()
        command = parse_object(read_small(folder / COMMAND)).get("command")
    except OSError:
        return ()
    if not isinstance(command, list) or not all(isinstance(word, str) for word in command):
        return ()
    return tuple(command)


def start(folder: Path) -> None:
    """Start the command of the ended job in this folder, if it has one, as a daemon. Returns at once and never raises.
    Called once, by the process that has written the end to job.json."""
    if kept(folder):
        with contextlib.suppress(OSError):
            command = (sys.executable, "-P", "-m", __name__, str(folder))
            detach.start_daemon(command, own_environment(), subprocess.DEVNULL)


def run(job: Job, folder: Path, limit: float = LIMIT) -> None:
    """Run the job's command and append its output and how it ended to OUTPUT. Raises OSError if writing fails."""
    command = kept(folder)
    if not command:
        return
    with (folder / OUTPUT).open("ab") as output:
        try:
            child = subprocess.Popen(
                [os.path.expanduser(command[0]), *command[1:]],  # noqa: PTH111
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=job.cwd if os.path.isdir(job.cwd) else str(folder),  # noqa: PTH112 - may be empty
                env={**own_environment(), **facts(job, folder)},
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            outcome = f"could not be started: {clean(getattr(error, 'strerror', None) or str(error))}"
        else:
            outcome = _wait(child, limit)
        stamp = time.strftime("%Y-%m-%d %H:%M:%S")
        output.write(f"{stamp} on_end: {clean(Path(command[0]).name)}: {outcome}\n".encode("utf-8", "replace"))


def _wait(child: subprocess.Popen[bytes], limit: float) -> str:
    """Wait for the command; returns how it ended, as a phrase."""
    try:
        code = child.wait(limit)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        return f"took longer than {limit:g} s and was killed"
    return "done" if code == 0 else f"exit code {code}" if code > 0 else f"killed by signal {-code}"


def facts(job: Job, folder: Path) -> dict[str, str]:
    """The environment variables that describe the job to its command; empty strings for unknown values."""
    seconds = None if job.started is None or job.ended is None else round(max(0.0, job.ended - job.started))
    return {
        "XRAY_JOB_ID": job.id,
        "XRAY_JOB_RUN": job.spec.run,
        "XRAY_JOB_KIND": job.spec.kind,
        "XRAY_JOB_STATE": str(job.state),
        "XRAY_JOB_CAUSE": job.cause or "",
        "XRAY_JOB_EXIT_CODE": "" if job.exit_code is None else str(job.exit_code),
        "XRAY_JOB_SECONDS": "" if seconds is None else str(seconds),
        "XRAY_JOB_GPUS": ",".join(job.gpus),
        "XRAY_JOB_USER": job.user,
        "XRAY_JOB_HOST": job.host,
        "XRAY_JOB_FOLDER": str(folder),
        "XRAY_JOB_LOG": str(folder / LOG),
        "XRAY_JOB_RUN_FOLDER": str(folder.parent.parent / job.spec.run),
    }


def main(arguments: Sequence[str]) -> int:
    folder = Path(arguments[0])
    try:
        job = read_job(folder)
        if job.state.ended and not_ours(folder, JOB) is None:
            run(job, folder)
    except (OSError, ValueError):
        return 1  # the job's folder is gone or its disk is full: no place for a message
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
