"""Follows a log and the training curves of runs in a thread."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.contract.events import parse_events
from engine.contract.names import EVENTS
from xray_tui.feeds.periodic_thread import PeriodicThread
from xray_tui.logs.curve_reader import Curve, CurveReader
from xray_tui.logs.log_file import NO_LOG, Log, LogFile
from xray_tui.logs.tail import Tail
from xray_tui.system.retry import Report, unheard

NO_CURVE = Curve()


@dataclass(frozen=True, slots=True)
class Followed:
    """The end of the followed log, and the curves."""

    name: str
    """The job's id, or the run that was chosen on the board."""
    log: Log = NO_LOG
    curve: Curve = NO_CURVE
    """The curve of the job's run, or of the chosen run."""
    others: tuple[Curve, ...] = ()


class EventTail:
    """Reads the curve from a growing events.jsonl."""

    def __init__(self, path: Path) -> None:
        self.reader = CurveReader()
        self._tail = Tail(path)
        self._open = b""
        """The start of an event whose end is not written yet."""

    def read(self) -> bool:
        """Read new events; return whether the file changed."""
        changed = False
        while (chunk := self._tail.read()) is not None:
            changed = True
            if chunk.fresh:
                self.reader, self._open = CurveReader(), b""
            whole, newline, rest = (self._open + chunk.data).rpartition(b"\n")
            self._open = rest if newline else self._open + chunk.data
            self.reader.add(parse_events(whole.decode("utf-8", "replace")))
            if not chunk.more:
                break
        return changed


class Follow(PeriodicThread):
    """A thread that reads the files every half second and calls `on_change` when they have changed."""

    def __init__(
        self,
        name: str,
        log: Path | None,
        runs: Sequence[Path],
        on_change: Callable[[Followed], None],
        on_failure: Report = unheard,
    ) -> None:
        """Without a log, the lines are those of the first run's epochs. Needs a log or a run."""
        super().__init__(0.5, "follow", "reading the log", on_failure)
        self._name = name
        self._log = LogFile(log) if log else None
        self._events = [EventTail(run / EVENTS) for run in runs]
        self._on_change = on_change
        self._changed = True

    def tick(self) -> None:
        if self._log is not None:
            self._changed |= self._log.read()
        self._changed |= self._read_events()
        if self._changed and not self.stopping:
            self._changed = False
            curve, *others = [events.reader.curve() for events in self._events] or [NO_CURVE]
            log = self._log.log if self._log else self._events[0].reader.epoch_log()
            self._on_change(Followed(self._name, log, curve, tuple(others)))

    def _read_events(self) -> bool:
        try:
            changed = [events.read() for events in self._events]
            return any(changed)
        except (ArithmeticError, LookupError, RecursionError, TypeError, ValueError):
            return True  # malformed events must not stop the log
