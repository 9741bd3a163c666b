"""Follows one job: the end of its log and the events of its run, read in a thread, a few bytes at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from engine.contract.events import parse_events
from engine.contract.names import EVENTS, LOG
from engine.contract.text import clean_log_line
from xray_tui.live.curve import Curve, CurveReader
from xray_tui.live.tail import Tail
from xray_tui.live.ticking import Ticking

KEPT_LINES = 2000
KEPT_BYTES = 512 << 10
"""Of the end of a log: a log of gigabytes opens as fast as a short one."""
LONGEST_LINE = 4000
NO_CURVE = Curve()


@dataclass(frozen=True, slots=True)
class Followed:
    """What is known of the followed job by now."""

    job: str
    lines: tuple[str, ...] = ()
    """The last lines of its log, clean."""
    dropped: bool = False
    """Whether the log has earlier lines."""
    curve: Curve = NO_CURVE


@dataclass(slots=True)
class LogTail:
    """The last lines of a log that grows."""

    path: Path
    lines: deque[str] = field(default_factory=lambda: deque(maxlen=KEPT_LINES))
    dropped: bool = False
    _tail: Tail = field(init=False)
    _open: bytes = b""
    """The last line, as long as no newline ends it."""

    def __post_init__(self) -> None:
        self._tail = Tail(self.path, last=KEPT_BYTES)

    def read(self) -> bool:
        """Take what is new; whether anything was."""
        changed = False
        while (chunk := self._tail.read()) is not None:
            changed = True
            if chunk.fresh:
                self.lines.clear()
                self._open, self.dropped = b"", chunk.cut
            data = chunk.data.partition(b"\n")[2] if chunk.cut else chunk.data
            *whole, self._open = (self._open + data).split(b"\n")
            self._open = self._open[-(64 << 10) :]
            self.dropped |= len(self.lines) + len(whole) > KEPT_LINES
            self.lines.extend(_line(line) for line in whole[-KEPT_LINES:])
            if not chunk.more:
                break
        return changed

    def shown(self) -> tuple[str, ...]:
        """All lines, the unfinished one too."""
        return (*self.lines, _line(self._open)) if self._open else tuple(self.lines)


@dataclass(slots=True)
class EventTail:
    """The curve of an events.jsonl that grows."""

    path: Path
    reader: CurveReader = field(default_factory=CurveReader)
    _tail: Tail = field(init=False)
    _open: bytes = b""

    def __post_init__(self) -> None:
        self._tail = Tail(self.path)

    def read(self) -> bool:
        """Take what is new; whether anything was."""
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


class Follow(Ticking):
    """A thread that follows one job's files and tells `on_change` whenever they have grown."""

    def __init__(self, job: str, folder: Path, run: Path | None, on_change: Callable[[Followed], None]) -> None:
        super().__init__(0.5, name="follow")
        self._job = job
        self._log = LogTail(folder / LOG)
        self._events = EventTail(run / EVENTS) if run else None
        self._on_change = on_change
        self._told = False

    def tick(self) -> None:
        grown = self._log.read()
        if self._events is not None:
            try:
                grown |= self._events.read()
            except (ArithmeticError, LookupError, RecursionError, TypeError, ValueError):
                grown = True  # events that no training writes are passed over; the log goes on
        if (grown or not self._told) and not self.stopping:
            self._told = True
            curve = self._events.reader.curve() if self._events else NO_CURVE
            self._on_change(Followed(self._job, self._log.shown(), self._log.dropped, curve))


def _line(line: bytes) -> str:
    """One line as it may be shown. A progress bar's line of many returns is cut to its last state first."""
    text = line.decode("utf-8", "replace")
    return clean_log_line(text if "\r" in text else text[:LONGEST_LINE])[:LONGEST_LINE]
