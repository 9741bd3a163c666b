"""Any line of a log by its number, whatever its length: a few reads of at most 64 KiB."""

from __future__ import annotations

import os
import re

from engine.contract.text import clean_log_line
from xray_tui.logs.line_index import BLOCK, LineIndex

LONGEST_LINE = 4000
"""Characters of a line that are shown."""
HEAD = 1 << 14
"""Bytes of a huge line's beginning, enough for what is shown of it."""


class LineReader:
    """Reads lines of an open file with the help of its index. Raises OSError.

    Where the file was changed behind the index, what it reads is some other text, and clean all the same.
    """

    def __init__(self, descriptor: int, index: LineIndex) -> None:
        self._descriptor = descriptor
        self._index = index
        self._block = -1
        self._newlines: list[int] = []
        """Where the newlines of that block are, as offsets in the file."""

    def line(self, number: int) -> str:
        """The line as it may be shown."""
        start = self._index.start if number == 0 else self._newline(number) + 1
        end = self._newline(number + 1)
        if end - start <= BLOCK:
            return shown(self._read(start, end - start))
        tail = self._read(end - BLOCK, BLOCK)
        if b"\r" in tail.rstrip(b"\r"):  # a progress bar of many states, of which the last counts
            return shown(tail)
        return shown(self._read(start, HEAD))

    def _newline(self, number: int) -> int:
        """The offset of this newline; the end of what is counted where there is none."""
        index = self._index
        if number > index.newlines:
            return index.end
        block = index.block_of(number)
        if block != self._block:
            offset = index.offset(block)
            data = self._read(offset, min(BLOCK, index.end - offset))
            self._newlines = [offset + found.start() for found in re.finditer(b"\n", data)]
            self._block = block
        place = number - index.before(block) - 1
        return self._newlines[place] if place < len(self._newlines) else index.offset(block)

    def _read(self, offset: int, size: int) -> bytes:
        return os.pread(self._descriptor, max(0, size), offset)


def shown(line: bytes) -> str:
    """One line as it may be shown. A progress bar's line of many returns is cut to its last state first."""
    text = line.decode("utf-8", "replace")
    return clean_log_line(text if "\r" in text else text[:LONGEST_LINE])[:LONGEST_LINE]
