"""A log that grows, of any size: its end at once, any other line when asked for, never all of it in memory."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from xray_tui.logs.line_index import LineIndex
from xray_tui.logs.line_reader import LineReader
from xray_tui.system.safe_files import open_regular

TAIL = 512 << 10
"""Bytes of the end that can be read before the lines of the whole log are counted."""
STEP = 4 << 20
"""Bytes that are counted at a time."""
AROUND = 250
"""Lines that a page has before and after the one it was asked for: a few screens of them."""
MARK = 64
"""Bytes before the end by which a log that was written anew is told from one that has grown."""


@dataclass(frozen=True, slots=True)
class LogPage:
    """Some lines of a log, one after the other, and where they stand in it."""

    first: int = 0
    """The number of the first of them, from 0."""
    lines: tuple[str, ...] = ()
    """Clean."""
    total: int = 0
    """Lines of the log; while it is still being counted, those of its end, and numbers begin there."""
    counted: float = 1.0
    """The share of the log of which the lines are counted."""
    shift: int = 0
    """What was added to all numbers since the log was opened: the lines before its end, once they are counted."""
    edition: int = 0
    """Another number: another file than before, or one that was written anew."""

    def line(self, number: int) -> str | None:
        """The line of that number, if this page has it."""
        place = number - self.first
        return self.lines[place] if 0 <= place < len(self.lines) else None


NO_LOG = LogPage()


class LogFile:
    """One log. Used by one thread; its `index` may be read by others."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.index = LineIndex()
        """Of the lines that can be read: those of the end at first, then all."""
        self._whole = self.index
        self._edition = 0
        self._shift = 0
        self._size = 0
        self._identity: tuple[int, int] | None = None
        self._mark = b""
        self._page = LogPage()
        self._read: tuple[LineIndex, int, int, int] | None = None
        """What the page was read from: the index, its first and last line, the end if it goes so far."""

    @property
    def counted(self) -> bool:
        """Whether all lines are counted."""
        return self.index is self._whole and self.index.end >= self._size

    @property
    def shift(self) -> int:
        """What was added to the numbers of its lines when all were counted."""
        return self._shift

    @property
    def edition(self) -> int:
        """How often it was begun anew."""
        return self._edition

    def step(self) -> bool:
        """Look at the file and count a piece of what is new; whether anything was. Raises no error: a file that cannot
        be read has nothing new."""
        try:
            with self._opened() as descriptor:
                status = os.fstat(descriptor)
                fresh = self._is_another(descriptor, status)
                if fresh:
                    self._begin(descriptor, status)
                grown = self._count(descriptor, self.index)
                if self.index is not self._whole:
                    grown |= self._count(descriptor, self._whole)
                    self._join()
        except OSError:
            return False
        return fresh or grown

    def page(self, around: int | None) -> LogPage:
        """The lines around one, or the last ones. Where the file cannot be read, those that were read before."""
        index, total = self.index, self.index.lines
        around = total if around is None else max(0, min(around, total))
        first, last = max(0, around - AROUND), min(total, around + 2 * AROUND)
        read = (index, first, last, index.end if last == total else 0)
        if read != self._read:
            try:
                with self._opened() as descriptor:
                    reader = LineReader(descriptor, index)
                    lines = tuple(map(reader.line, range(first, last)))
            except OSError:
                return self._page
            self._page = LogPage(first, lines, total, 1.0, self._shift, self._edition)
            self._read = read
        share = 1.0 if self.counted else self._whole.end / max(1, self._size)
        return replace(self._page, total=total, counted=share)

    @contextmanager
    def _opened(self) -> Iterator[int]:
        """Opened anew each time: that shows what another machine wrote, and keeps no removed file alive."""
        descriptor = open_regular(self.path)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def _is_another(self, descriptor: int, status: os.stat_result) -> bool:
        """Whether this is no longer the file that was counted; its size is known then."""
        if self._identity != (status.st_dev, status.st_ino) or status.st_size < self.index.end:
            return True
        end = self.index.end
        changed = status.st_size > end and os.pread(descriptor, len(self._mark), end - len(self._mark)) != self._mark
        self._size = status.st_size
        return changed

    def _begin(self, descriptor: int, status: os.stat_result) -> None:
        """Start over, at the end of a large file."""
        self._identity, self._size = (status.st_dev, status.st_ino), status.st_size
        self._edition += 1
        self._shift, self._mark = 0, b""
        start = max(0, self._size - TAIL)
        if start:
            start += os.pread(descriptor, TAIL, start).find(b"\n") + 1  # nothing is passed over where there is none
        self.index = LineIndex(start)
        self._whole = LineIndex() if start else self.index

    def _count(self, descriptor: int, index: LineIndex) -> bool:
        data = os.pread(descriptor, min(STEP, self._size - index.end), index.end)
        index.add(data)
        if index is self.index and data:
            self._mark = (self._mark + data[-MARK:])[-MARK:]
        return bool(data)

    def _join(self) -> None:
        """Number the lines from the log's beginning, as soon as they are counted from there."""
        if self._whole.end == self.index.end:
            self._shift = self._whole.newlines - self.index.newlines
            self.index = self._whole
