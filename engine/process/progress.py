"""Progress of a piece of work: a bar on a terminal, lines in a log, progress.json and the process title for a job."""

from __future__ import annotations

import contextlib
import os
import pwd
import re
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from engine.contract.files import write_json
from engine.contract.names import JOB_DIR_ENV, PROGRESS, RUN_ENV
from engine.contract.text import STAMP, clean
from engine.contract.units import duration

_EVERY_S = 1.0
_LINE_EVERY_S = 5.0

Result = TypeVar("Result")


class Progress:
    """Tracks one phase: `with Progress("predict val", 305, "images") as progress: … progress.advance(16)`."""

    def __init__(self, phase: str, total: int, unit: str, *, done: int = 0) -> None:
        self.phase, self.total, self.unit, self.done = clean(phase), total, unit, done
        self._first = done
        self._started = self._written = self._printed = time.monotonic()
        self._bar = None
        if sys.stderr.isatty():
            from tqdm import tqdm

            self._bar = tqdm(
                total=total, initial=done, desc=self.phase, unit=f" {unit}", leave=False, dynamic_ncols=True
            )
        report(self.phase, done, total, unit, None)

    def advance(self, by: int = 1, *, eta_s: float | None = None) -> None:
        """Count `by` more units as done. `eta_s`, in seconds, replaces the estimate from the mean speed."""
        self.done += by
        now = time.monotonic()
        if self._bar is not None:
            self._bar.update(by)
        if now - self._written < _EVERY_S and self.done < self.total:
            return
        self._written = now
        if eta_s is None and self.done > self._first:
            eta_s = (now - self._started) / (self.done - self._first) * (self.total - self.done)
        report(self.phase, self.done, self.total, self.unit, eta_s)
        if self._bar is None and now - self._printed >= _LINE_EVERY_S:
            self._printed = now
            print(f"{self.phase}: {self.done}/{self.total} {self.unit}", file=sys.stderr, flush=True)

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Remove the bar from the terminal."""
        if self._bar is not None:
            self._bar.close()


def say(line: str) -> None:
    """Print a line above the progress bar, if there is one."""
    if "tqdm" in sys.modules:
        from tqdm import tqdm

        tqdm.write(line)
        sys.stdout.flush()
    else:
        print(line, flush=True)


@contextlib.contextmanager
def stamped_output() -> Iterator[None]:
    """In a job, start each line of stdout and stderr with the local time."""

    def stamped(write: Callable[[str], int], text: str) -> int:
        return write(re.sub("(?m)^(?=.)", time.strftime(STAMP), text))

    streams: Any = (sys.stdout, sys.stderr) if os.environ.get(JOB_DIR_ENV) else ()
    for stream in streams:
        stream.write = partial(stamped, stream.write)
    try:
        yield
    finally:
        for stream in streams:
            del stream.write


def report(phase: str, done: int, total: int, unit: str, eta_s: float | None) -> None:
    """In a job, write progress.json into its folder and set the process title. Ignores a full disk."""
    folder = os.environ.get(JOB_DIR_ENV)
    if not folder:
        return
    show_title(pace(done, total, eta_s))
    with contextlib.suppress(OSError):
        eta = None if eta_s is None else round(eta_s, 1)
        write_json(Path(folder) / PROGRESS, {"phase": phase, "done": done, "total": total, "unit": unit, "eta_s": eta})


def map_threaded(work: Callable[[int], Result], count: int, phase: str) -> Iterator[Result]:
    """Yield `work(0) … work(count - 1)` in order, computed with one thread per core. An exception cancels the rest."""
    from concurrent.futures import ThreadPoolExecutor

    pool = ThreadPoolExecutor(os.cpu_count())
    try:
        with Progress(phase, count, "images") as progress:
            for result in pool.map(work, range(count)):
                yield result
                progress.advance()
    finally:
        pool.shutdown(cancel_futures=True)


def show_title(what: str) -> None:
    """Set the process title that other users see in nvidia-smi, top and ps: `xray-tui unet_a (ana) 42% 1h05m left`.

    `what` is the part after the run and its owner. Does nothing outside a job, or if setproctitle is not installed (it
    comes with the app). The title is no longer than the original command line, because the memory after that holds the
    environment, whose variables mark a job's processes.
    """
    if not os.environ.get(JOB_DIR_ENV):
        return
    os.environ.setdefault("SPT_NOENV", "1")  # set before the first use, so that the environment stays in place
    try:
        from setproctitle import setproctitle
    except ImportError:
        return
    setproctitle(f"xray-tui {clean(os.environ.get(RUN_ENV) or '?')} ({user_name()}) {what}")


def pace(done: int, total: int, eta_s: float | None) -> str:
    """`42% 1h05m left`."""
    share = f"{100 * done // total}%" if total else "0%"
    return share if eta_s is None else f"{share} {duration(eta_s)} left"


def user_name() -> str:
    """This process's user, safe to print."""
    try:
        return clean(pwd.getpwuid(os.getuid()).pw_name)
    except KeyError:
        return f"uid {os.getuid()}"
