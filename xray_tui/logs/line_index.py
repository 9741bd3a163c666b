"""Where the lines of a log begin: newlines counted block by block, 8 bytes for every 64 KiB of the file."""

from __future__ import annotations

from array import array
from bisect import bisect_left

BLOCK = 1 << 16


class LineIndex:
    """The newlines of a file from the byte `start` on, as far as they are counted; it only grows.

    Lines are numbered from 0, newlines from 1, so that line n begins after newline n. One thread adds, others may
    look meanwhile.
    """

    def __init__(self, start: int = 0) -> None:
        self.start = start
        self.end = start
        """How far the file is counted."""
        self.newlines = 0
        self._before = array("Q")
        """Newlines before each block that has begun."""
        self._open = False

    @property
    def lines(self) -> int:
        """So many lines; one that no newline ends counts."""
        return self.newlines + self._open

    @property
    def blocks(self) -> int:
        return len(self._before)

    def before(self, block: int) -> int:
        """Newlines before this block."""
        return self._before[block]

    def offset(self, block: int) -> int:
        """The byte of the file at which this block begins."""
        return self.start + block * BLOCK

    def block_of(self, newline: int) -> int:
        """The block that holds this newline, one of 1 to `newlines`."""
        return bisect_left(self._before, newline) - 1

    def add(self, data: bytes) -> None:
        """Count what follows in the file."""
        at = 0
        while at < len(data):
            into = (self.end - self.start) % BLOCK
            if into == 0:
                self._before.append(self.newlines)
            stop = min(len(data), at + BLOCK - into)
            self.newlines += data.count(b"\n", at, stop)
            self.end += stop - at
            at = stop
        if data:
            self._open = not data.endswith(b"\n")
