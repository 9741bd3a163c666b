"""Follows one job: its log and the events of its run, read in a thread, a few bytes at a time."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from engine.contract.events import parse_events
from engine.contract.names import EVENTS, LOG
from xray_tui.feeds.periodic_thread import Ticking
from xray_tui.logs.curve_reader import Curve, CurveReader
from xray_tui.logs.log_file import NO_LOG, LogFile, LogPage
from xray_tui.logs.log_search import Found, LogSearch, Search
from xray_tui.logs.tail import Tail
from xray_tui.system.retry import Report, unheard

NO_CURVE = Curve()
TELL_EVERY = 0.1
"""Seconds between two words on how far a large log is counted."""


@dataclass(frozen=True, slots=True)
class Followed:
    """What is known of the followed job by now."""

    job: str
    log: LogPage = NO_LOG
    """The part of its log that was asked for."""
    curve: Curve = NO_CURVE
    found: Found | None = None
    """How far the search in the log is, if there is one."""


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
    """A thread that follows one job's files: it tells `on_change` when they have grown, and what it was asked for.

    Lines are asked for by their numbers in the page that was told last; those change once, when all are counted.
    """

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
        self._wanted: tuple[int, int] | None = None
        """A line, and the log's shift when it was asked for."""
        self._wanted_search: tuple[Search, int] | None = None
        """The same; None: nothing is looked for."""
        self._taken: tuple[Search, int] | None = None
        """The one of them that this thread has begun with."""
        self._search: LogSearch | None = None
        self._found: Found | None = None
        self._asked = False
        """Whether somebody waits for a word."""
        self._news = True
        """Whether there is something to tell."""
        self._told = -TELL_EVERY

    def want(self, around: int | None) -> None:
        """Tell of the lines around this one from now on, or of the last ones."""
        self._wanted = None if around is None else (around, self._log.shift)
        self._ask()

    def search(self, search: Search | None) -> None:
        """Look for this instead of what was looked for before, or for nothing."""
        self._wanted_search = (search, self._log.shift) if search else None
        self._ask()

    def stop(self) -> None:
        super().stop()
        if (search := self._search) is not None:
            search.cancel()

    def tick(self) -> None:
        more = True
        while more and not self.stopping:
            edition = self._log.edition
            grown = self._log.step()
            more = grown and not self._log.counted
            self._news |= self._read_events() | grown
            self._tend_search(self._log.edition != edition)
            if self._asked or (self._news and (not more or time.monotonic() - self._told >= TELL_EVERY)):
                self._tell()

    def _read_events(self) -> bool:
        if self._events is None:
            return False
        try:
            return self._events.read()
        except (ArithmeticError, LookupError, RecursionError, TypeError, ValueError):
            return True  # events that no training writes are passed over; the log goes on

    def _ask(self) -> None:
        self._asked = True
        self.wake()

    def _tell(self) -> None:
        self._asked = self._news = False
        wanted, around = self._wanted, None
        if wanted is not None:
            around = wanted[0] + self._log.shift - wanted[1]
        curve = self._events.reader.curve() if self._events else NO_CURVE
        self._on_change(Followed(self._job, self._log.page(around), curve, self._found))
        self._told = time.monotonic()

    # The search

    def _tend_search(self, is_another: bool) -> None:
        """Begin what is wanted, as soon as all lines are counted; begin again where the log is another one by now."""
        wanted = self._wanted_search
        over = self._found is None or self._found.over
        if wanted is not self._taken or (is_another and not over):
            if self._search is not None:
                self._search.cancel()
            self._taken, self._search = wanted, None
            self._found = Found(wanted[0]) if wanted else None
        if wanted is not None and self._search is None and self._log.counted and not self.stopping:
            search, shift = wanted
            start = search.line + self._log.shift - shift
            self._search = LogSearch(self._log.path, self._log.index, search, start, self._hear)
            self._search.start()

    def _hear(self, search: LogSearch, found: Found) -> None:
        if search is self._search:
            self._found = found
            self._ask()
