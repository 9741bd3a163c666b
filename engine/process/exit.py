"""How a command ends: its exit status, the cause shown to the user and recorded for the job, and signal handling."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

from engine.contract import names
from engine.contract.errors import BadInput, Exit, Failed, Stopped
from engine.contract.text import clean

_PR_SET_PDEATHSIG = 1
_STOPS = (signal.SIGTERM, signal.SIGINT)
_RETRY_S = 0.05
"""Interval in seconds at which a stop that arrived during an import is tried again."""


def run_command(command: Callable[[], None]) -> tuple[Exit, str]:
    """Run a command; returns its exit status and the cause in words. The cause of a failure is printed."""
    try:
        command()
        return Exit.DONE, "done"
    except BadInput as error:
        status, lines = Exit.BAD_INPUT, error.lines
    except (Stopped, KeyboardInterrupt) as error:
        status, lines = Exit.STOPPED, (str(error) or "stopped by Ctrl+C",)
    except Failed as error:
        status, lines = Exit.OTHER, (str(error),)
    except ImportError as error:
        hint = "install the engine's extra: pip install 'xray-tui[engine]'"
        status, lines = Exit.OTHER, (f"{clean(str(error))}; {hint}",)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.OTHER, "its output was closed"
    except Exception as error:
        if os.environ.get("XRAY_DEBUG"):
            raise
        status, lines = _unexpected(error)
    _say(*lines)
    return status, lines[0]


def _unexpected(error: Exception) -> tuple[Exit, tuple[str]]:
    """The exit status and one line for the user."""
    line = clean(f"{type(error).__name__}: {error}".split("\n")[0])[:400]
    memory = isinstance(error, MemoryError)
    if "torch" in sys.modules:
        from engine.process.device import is_out_of_memory

        memory = is_out_of_memory(error)
    if memory:
        what = "out of memory: try a smaller training.batch_size or data.image_size"
        return Exit.OUT_OF_MEMORY, (f"{what} ({line})",)
    if not isinstance(error, OSError):
        return Exit.OTHER, (line,)
    where = f"{clean(str(error.filename))}: " if error.filename else ""
    line = f"{where}{clean(error.strerror or str(error))}"
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):  # a full disk, a full quota, a file-size limit
        return Exit.NO_SPACE, (f"no space left: {line if where else f'its output: {line}'}",)
    unusable = where and error.errno in (errno.ENOTDIR, errno.EACCES, errno.EROFS, errno.ENAMETOOLONG)
    return Exit.BAD_INPUT if unusable else Exit.OTHER, (line,)


def _say(*lines: str) -> None:
    """Print to stderr. Ignores a full disk, because the end record and the exit status carry the cause too."""
    with contextlib.suppress(OSError):
        print("\n".join(lines), file=sys.stderr, flush=True)


def give_up(cause: str) -> None:
    """Print and record the cause, and end the process at once. For use while the main thread hangs."""
    _say(cause)
    record_end(Exit.OTHER, cause)
    os._exit(Exit.OTHER)


def flush_output() -> None:
    """Flush stdout and stderr. A failure (full disk, closed pipe) does not change the exit status."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def record_end(status: Exit, cause: str) -> None:
    """Write end.json into the job's folder, if there is one. Without this file a job does not count as succeeded."""
    folder = os.environ.get(names.JOB_DIR_ENV)
    if not folder:
        return
    from engine.contract.files import write_json

    rss: int | None = None
    gpu: int | None = None
    if "torch" in sys.modules:
        from engine.process.device import peak_memory

        rss, gpu = peak_memory()
    facts = {"code": int(status), "cause": cause, "time": time.time(), "peak_rss": rss, "peak_gpu": gpu}
    try:
        write_json(Path(folder) / names.END, facts)
    except OSError as error:
        _say(f"{clean(folder)}/{names.END}: {error.strerror}")


def raise_stopped_at_sigterm() -> None:
    """Make SIGTERM raise Stopped, so that temporary files are removed."""
    for number in (signal.SIGTERM, signal.SIGALRM):
        signal.signal(number, _raise_stopped)


def _raise_stopped(number: int, frame: FrameType | None) -> None:
    """Raise Stopped, but after the import that is in progress: a library may swallow an exception in its import."""
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            signal.setitimer(signal.ITIMER_REAL, _RETRY_S)
            return
        frame = frame.f_back
    raise Stopped("stopped")


def take_delayed_stop() -> bool:
    """Whether a stop waits for the end of an import. It is no longer tried then."""
    return signal.setitimer(signal.ITIMER_REAL, 0)[0] > 0


class StopFlag:
    """A flag that the first SIGTERM or SIGINT sets. A second signal has its usual effect."""

    def __init__(self) -> None:
        self.is_set = take_delayed_stop()
        self._before: dict[int, Any] = {}
        for number in _STOPS:
            self._before[number] = signal.getsignal(number)  # stored before the first signal can arrive
            signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.is_set = True
        self.restore()

    def restore(self) -> None:
        """Restore the former handlers."""
        for number, handler in self._before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def stops_delayed() -> Iterator[None]:
    """Delay SIGTERM and SIGINT until the end of the block. A process that is forked in the block never receives them
    before it calls leave_stopping_to_the_parent."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _STOPS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPS)


def leave_stopping_to_the_parent(parent: int) -> None:
    """Make a loader process ignore SIGTERM and SIGINT, and end with its parent. The signals reach the whole process
    group, and a loader that they killed would look like a failure."""
    for number in _STOPS:
        signal.signal(number, signal.SIG_IGN)
    end_with(parent)


def end_with(parent: int) -> None:
    """Have the kernel kill this process when its parent ends (Linux only). Torch's loaders check for their parent only
    every five seconds and would keep the run folder and the GPUs locked until then."""
    try:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    except (OSError, AttributeError):
        return
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)
