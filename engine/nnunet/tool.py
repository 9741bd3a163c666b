"""nnU-Net's commands as child processes: found, given their folders, read line by line, and never left running."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import selectors
import shutil
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from engine.contract.errors import BadInput, Failed, Stopped
from engine.contract.names import JOB_DIR_ENV, LEASES_ENV
from engine.contract.text import clean, clean_log_line
from engine.nnunet.layout import Layout
from engine.process.exit import StopFlag, end_with
from engine.process.progress import Progress, say

GRACE_S = 5.0
"""Seconds between SIGTERM and SIGKILL for a command."""

_POLL_S = 0.25
_TICK_S = 1.0
_ERROR = re.compile(r"(?:\w+\.)*\w*(?:Error|Exception|Interrupt)\b")
_NO_MEMORY = re.compile(r"out of memory|can't allocate memory", re.IGNORECASE)
_NO_SPACE = {"No space left on device": errno.ENOSPC, "Disk quota exceeded": errno.EDQUOT}


def find_command(name: str) -> str:
    """The path of one of nnU-Net's commands: beside this Python, or on the PATH (it may be in another environment).
    Raises BadInput in one line where it is missing."""
    beside = Path(sys.executable).parent / name
    command = str(beside) if os.access(beside, os.X_OK) else shutil.which(name)
    if command is None:
        raise BadInput(f"nnU-Net is not installed ({name} is missing); install it: pip install 'xray-tui[nnunet]'")
    return command


def environment(layout: Layout, device: str, *, compile: bool) -> dict[str, str]:
    """The environment of a command for this run on cpu or cuda."""
    training = layout.config.training
    own = {name: value for name, value in os.environ.items() if name not in (JOB_DIR_ENV, LEASES_ENV)}
    augment = training.augment_processes
    if augment is None and device == "cpu":
        augment = 0
    return {
        **own,
        "nnUNet_raw": str(layout.raw.absolute()),
        "nnUNet_preprocessed": str(layout.preprocessed.absolute()),
        "nnUNet_results": str(layout.results.absolute()),
        "nnUNet_def_n_proc": str(training.processes),
        "nnUNet_compile": "t" if compile else "f",
        **({} if augment is None else {"nnUNet_n_proc_DA": str(augment)}),
        "PYTHONUNBUFFERED": "1",  # otherwise an epoch appears only when 8 KiB are full
    }


def run_tool(
    command: Sequence[str],
    environment: Mapping[str, str],
    on_line: Callable[[str], None] = lambda line: None,
    on_tick: Callable[[], None] = lambda: None,
) -> None:
    """Run a command to its end and pass on its output line by line; `on_tick` is called about every second. SIGTERM and
    SIGINT are passed on to everything it started; all of it has ended when this function returns or raises, and when
    this process dies. Raises Stopped; Failed with the last error line; MemoryError; OSError for a full disk."""
    stop = StopFlag()
    last: deque[str] = deque(maxlen=100)
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=dict(environment),
            process_group=0,  # so that the whole group can be ended
            preexec_fn=partial(end_with, os.getpid()),  # one prctl call, and exec follows at once
        )
        try:
            for line in _output(process, stop, on_tick):
                say(line)
                if line.strip():
                    last.append(line.strip())
                on_line(line)
        finally:
            status = _end(process)
    finally:
        stop.restore()
    if stop.is_set:
        raise Stopped("stopped")
    if status:
        raise failure(Path(command[0]).name, status, last)


def failure(name: str, status: int, last: Sequence[str]) -> Exception:
    """The exception for a failed command, from its status (negative: a signal) and its last lines."""
    message = next((line for line in reversed(last) if _ERROR.match(line)), last[-1] if last else "no output")
    message = clean(message)[:300]
    for line in reversed(last):
        if _NO_MEMORY.search(line):
            return MemoryError(f"{name}: {clean(line)[:300]}")
        for sign, number in _NO_SPACE.items():
            if sign in line:
                return OSError(number, f"{os.strerror(number)} ({name})")
    if status < 0:
        signalled = signal.Signals(-status).name if -status in set(signal.Signals) else f"signal {-status}"
        return Failed(f"{name} was killed by {signalled}; before that: {message}")
    return Failed(f"{name} ended with exit status {status}: {message}")


def _output(process: subprocess.Popen[bytes], stop: StopFlag, on_tick: Callable[[], None]) -> Iterator[str]:
    """The lines of a process until it has ended or a stop is requested."""
    assert process.stdout is not None
    pipe, rest, ticked = process.stdout.fileno(), b"", time.monotonic()
    with selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        is_open = True
        while not stop.is_set and (is_open or not _has_ended(process)):
            if is_open and selector.select(_POLL_S):
                chunk = os.read(pipe, 1 << 16)
                *lines, rest = (rest + chunk).replace(b"\r", b"\n").split(b"\n")
                yield from map(_readable, lines)
                is_open = bool(chunk)
            elif _has_ended(process):  # a process that it left behind keeps the pipe open
                break
            elif not is_open:
                time.sleep(_POLL_S)
            if time.monotonic() - ticked >= _TICK_S:
                ticked = time.monotonic()
                on_tick()
    if rest:
        yield _readable(rest)


def _readable(line: bytes) -> str:
    return clean_log_line(line.decode("utf-8", "replace"))


def _has_ended(process: subprocess.Popen[bytes]) -> bool:
    """The process is not reaped here, so that the number of its group is not used again."""
    return process.returncode is not None or (
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    )


def _end(process: subprocess.Popen[bytes]) -> int:
    """End what is left of the process and its group; returns the exit status."""
    if not _has_ended(process):
        _signal(process.pid, signal.SIGTERM)
        until = time.monotonic() + GRACE_S
        while not _has_ended(process) and time.monotonic() < until:
            time.sleep(0.02)
    _signal(process.pid, signal.SIGKILL)
    if process.stdout is not None:
        process.stdout.close()
    return process.wait()


def _signal(group: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, number)


@contextlib.contextmanager
def counted(phase: str, folder: Path, pattern: str, total: int) -> Iterator[Callable[[], None]]:
    """A context with a callback that shows the progress of `phase`: the number of files matching the pattern in the
    folder, out of `total`. For commands that print no usable progress."""
    with Progress(phase, total, "images") as progress:

        def look() -> None:
            made = min(total, sum(1 for _ in folder.glob(pattern)))
            if made > progress.done:
                progress.advance(made - progress.done)

        yield look
        look()
