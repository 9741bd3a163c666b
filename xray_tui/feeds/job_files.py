"""Follows the log and the training curve of one job in a thread."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from engine.contract.events import parse_events
from engine.contract.names import EVENTS, LOG
from xray_tui.feeds.periodic_thread import PeriodicThread
from xray_tui.logs.curve_reader import Curve, CurveReader
from xray_tui.logs.log_file import NO_LOG, Log, LogFile
from xray_tui.logs.tail import Tail
from xray_tui.system.retry import Report, unheard

NO_CURVE = Curve()


@dataclass(frozen=True, slots=True)
class Followed:
    """The end of the followed job's log, and the curve of its run."""

    job: str
    log: Log = NO_LOG
    curve: Curve = NO_CURVE


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
    """A thread that reads the files of one job every half second and calls `on_change` when they have changed."""

    def __init__(
        self,
        job: str,
        folder: Path,
        run: Path | None,
        on_change: Callable[[Followed], None],
        on_failure: Report = unheard,
    ) -> None:
        super().__init__(0.5, "follow", "reading the log", on_failure)
        self._job = job
        self._log = LogFile(folder / LOG)
        self._events = EventTail(run / EVENTS) if run else None
        self._on_change = on_change
        self._changed = True

    def tick(self) -> None:
        self._changed |= self._log.read()
        self._changed |= self._read_events()
        if self._changed and not self.stopping:
            self._changed = False
            curve = self._events.reader.curve() if self._events else NO_CURVE
            self._on_change(Followed(self._job, self._log.log, curve))

    def _read_events(self) -> bool:
        if self._events is None:
            return False
        try:
            return self._events.read()
        except (ArithmeticError, LookupError, RecursionError, TypeError, ValueError):
            return True  # malformed events must not stop the log
