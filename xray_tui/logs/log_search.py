"""Finds the next line of a log that shows some words: the file's bytes are scanned, and what is found is looked at as
it would be shown, so that no hit is one that nobody can see."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Thread

from xray_tui.logs.line_index import BLOCK, LineIndex
from xray_tui.logs.line_reader import LineReader
from xray_tui.system.error_log import in_words, log_error
from xray_tui.system.safe_files import open_regular

OVERLAP = 1 << 12
"""Bytes of the next block that are scanned with each, for words across the border."""
TELL_EVERY = 0.1
REST = 1e-4
"""Seconds of sleep after every few blocks. A thread that only reads from the page cache hands the interpreter to
nobody, and the screen would stand still for up to a tenth of a second."""
REST_EVERY = 4

_ESCAPES = re.compile(rb"\x1b\[[0-?]*[ -/]*[@-~]|\x1b[\]PX^_][^\x07\x1b\n]*(?:\x07|\x1b\\)|\x1b[ -/]*[0-~]")


@dataclass(frozen=True, slots=True)
class Search:
    """What is looked for, from where."""

    words: str
    """Plain text; its case does not matter."""
    line: int
    """The first line that is looked at."""
    step: int = 1
    """1 downwards, -1 upwards; beyond the end it goes on at the other one."""


@dataclass(frozen=True, slots=True)
class Found:
    """How far a search is."""

    search: Search
    share: float = 0.0
    """Of the log that is looked through; 1 at the end."""
    line: int | None = None
    """The line that shows the words."""
    problem: str = ""
    """Why the log could not be searched, as it may be shown."""

    @property
    def over(self) -> bool:
        return self.share >= 1


def shown_pattern(words: str) -> re.Pattern[str]:
    """Finds the words in a line as it is shown."""
    return re.compile(re.escape(words), re.IGNORECASE)


class LogSearch(Thread):
    """One search in a thread. `tell` hears from it now and then, and last when it is over."""

    def __init__(
        self, path: Path, index: LineIndex, search: Search, start: int, tell: Callable[[LogSearch, Found], None]
    ) -> None:
        """`start` is the search's line by the numbers of this index."""
        super().__init__(name="search", daemon=True)
        self._path = path
        self._index = index
        self._search = search
        self._start = start
        self._tell = tell
        self._cancelled = False
        self._told = time.monotonic()

    def cancel(self) -> None:
        """Nothing is told any more."""
        self._cancelled = True

    def run(self) -> None:
        try:
            descriptor = open_regular(self._path)
            try:
                found = self._find(descriptor)
            finally:
                os.close(descriptor)
        except Exception as error:
            if not isinstance(error, OSError):
                log_error("searching the log", error)
            self._say(Found(self._search, 1.0, problem=in_words(error)))
        else:
            self._say(Found(self._search, 1.0, found))

    def _say(self, found: Found) -> None:
        if not self._cancelled:
            self._tell(self, found)

    def _find(self, descriptor: int) -> int | None:
        """The first line, in the order of the search, that shows the words."""
        reader = LineReader(descriptor, self._index)
        pattern = shown_pattern(self._search.words)
        seen = -1
        for line in self._candidates(descriptor):
            if line != seen and pattern.search(reader.line(line)):
                return line
            seen = line
        return None

    def _candidates(self, descriptor: int) -> Iterator[int]:
        """Lines whose bytes hold the words, in the order of the search; ends when it is cancelled."""
        index, raw, step = self._index, raw_pattern(self._search.words), self._search.step
        total = index.lines
        done = 0
        for first, last in ranges(self._start, total, step):
            for block in blocks_of(index, first, last)[::step]:
                if self._cancelled:
                    return
                data = os.pread(descriptor, BLOCK + OVERLAP, index.offset(block))
                lines = matching_lines(data, index.before(block), raw)
                for line in lines if step > 0 else reversed(list(lines)):
                    if self._cancelled:
                        return
                    if first <= line <= last:
                        yield line
                done += 1
                if done % REST_EVERY == 0:
                    time.sleep(REST)
                self._say_share(min(0.99, done / index.blocks))

    def _say_share(self, share: float) -> None:
        if time.monotonic() - self._told >= TELL_EVERY:
            self._told = time.monotonic()
            self._say(Found(self._search, share))


def ranges(line: int, total: int, step: int) -> list[tuple[int, int]]:
    """From this line to the log's end, or its beginning, then what is left: first and last line of each part. Behind
    either end it begins at the other one."""
    if not 0 <= line < total:
        line = 0 if step > 0 else total - 1
    parts = [(line, total - 1), (0, line - 1)] if step > 0 else [(0, line), (line + 1, total - 1)]
    return [(first, last) for first, last in parts if first <= last]


def blocks_of(index: LineIndex, first: int, last: int) -> range:
    """The blocks in which lie these lines, with the newlines before and after them."""
    begin = index.block_of(first) if first else 0
    end = index.block_of(last + 1) if last < index.newlines else index.blocks - 1
    return range(begin, end + 1)


def raw_pattern(words: str) -> re.Pattern[bytes]:
    """Finds the words in bytes whose ASCII letters are small."""

    def letter(char: str) -> bytes:
        forms = {re.escape(form.encode("utf-8", "replace")) for form in (char.lower(), char.upper())}
        return b"(?:" + b"|".join(sorted(forms)) + b")"

    return re.compile(b"".join(re.escape(c.lower().encode()) if c.isascii() else letter(c) for c in words))


def matching_lines(data: bytes, before: int, raw: re.Pattern[bytes]) -> Iterator[int]:
    """The numbers of the lines in which the words begin, each once; `before` lines end before the data."""
    if b"\x1b" in data:
        data = _ESCAPES.sub(b"", data)
    data = data.lower()
    at = 0
    while (hit := raw.search(data, at)) is not None:
        before += data.count(b"\n", at, hit.start())
        yield before
        at = data.find(b"\n", hit.end())
        if at < 0:
            return
