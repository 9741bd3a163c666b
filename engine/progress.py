"""How far a piece of work is: a bar on a terminal, a line now and then in a log, progress.json for the job list."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType

from engine import title
from engine.contract.files import write_json
from engine.contract.names import JOB_DIR_ENV, PROGRESS
from engine.contract.text import clean

_EVERY_S = 1.0
_LINE_EVERY_S = 5.0


class Progress:
    """Counts one phase: `with Progress("predict val", 305, "images") as progress: … progress.advance(16)`."""

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
        """`by` more units are done; `eta_s` where the caller knows better than the mean so far."""
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

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Take the bar off the terminal."""
        if self._bar is not None:
            self._bar.close()


def say(line: str) -> None:
    """Print a line. A bar on the terminal is taken off before it and drawn again below it."""
    if "tqdm" in sys.modules:
        from tqdm import tqdm

        tqdm.write(line)
        sys.stdout.flush()
    else:
        print(line, flush=True)


def report(phase: str, done: int, total: int, unit: str, eta_s: float | None) -> None:
    """Write progress.json into the job folder, and the process's title, where the engine was launched as a job. A full
    disk stops no work."""
    folder = os.environ.get(JOB_DIR_ENV)
    if not folder:
        return
    title.show(title.pace(done, total, eta_s))
    with contextlib.suppress(OSError):
        eta = None if eta_s is None else round(eta_s, 1)
        write_json(Path(folder) / PROGRESS, {"phase": phase, "done": done, "total": total, "unit": unit, "eta_s": eta})


@contextlib.contextmanager
def showing(phase: str, unit: str) -> Iterator[Callable[[int, int], None]]:
    """A callback (done, total) that shows a phase whose total is known only once it runs."""
    bars: dict[int, Progress] = {}

    def show(done: int, total: int) -> None:
        bar = bars.get(total) or bars.setdefault(total, Progress(phase, total, unit))
        if done > bar.done:
            bar.advance(done - bar.done)

    try:
        yield show
    finally:
        for bar in bars.values():
            bar.close()
