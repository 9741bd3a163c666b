"""Keeps the last lines of a growing log file in memory, cleaned for the terminal."""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from rich.cells import cell_len

from engine.contract.text import STAMPED, clean_log_line
from xray_tui.logs.tail import Tail

KEPT = 20_000
"""Maximum number of lines in memory."""
TAIL = 8 << 20
"""Bytes to read at once: the end of the file when it is opened, then each chunk of new data."""
LONGEST_LINE = 4000
"""Characters to show of one line."""
HEAD = 1 << 14
"""Bytes to decode of one line: enough for LONGEST_LINE characters."""

_PROGRESS = re.compile(r"[^:]+: \d+/\d+ \w+")
"""A stamped line of the engine's progress, which the next line replaces."""


@dataclass(frozen=True, slots=True)
class Log:
    """The last lines of a log."""

    lines: tuple[str, ...] = ()
    """The cleaned lines, including a last line without a newline."""
    dropped: int = 0
    """Number of earlier lines that were read and are no longer in memory."""
    cut: bool = False
    """Whether the file has lines before `lines`."""
    width: int = 0
    """Width in cells of the longest line since the log was opened."""
    edition: int = 0
    """Increases when the file is replaced, truncated or rewritten."""
    stamps: tuple[str, ...] = ()
    """The time stamp of each line, which may be empty."""


NO_LOG = Log()


class LogFile:
    """Reads one log. Not thread-safe."""

    def __init__(self, path: Path) -> None:
        self._tail = Tail(path, TAIL, only_end=True)
        self.log = NO_LOG
        self._ended: deque[tuple[str, str]] = deque(maxlen=KEPT)
        """The last lines that end in a newline, each after its time stamp."""
        self._total = 0
        """Number of lines read, including those no longer in memory."""
        self._open = b""
        """The bytes after the last newline, without overwritten states of a progress bar."""
        self._skipped = False

    def read(self) -> bool:
        """Read new data; return whether the log changed. Never raises; an unreadable file counts as unchanged."""
        changed = False
        while (chunk := self._tail.read()) is not None:
            width, edition = self.log.width, self.log.edition
            if chunk.fresh:
                self._ended.clear()
                self._total, self._open, self._skipped, width = 0, b"", chunk.skipped, 0
                edition += 1
            added = self._add(chunk.data.partition(b"\n")[2] or chunk.data if chunk.skipped else chunk.data)
            last = [_shown(self._open)] if self._open else []
            stamps, lines = zip(*(*self._ended, *last)[-KEPT:], strict=True) if self._ended or last else ((), ())
            width = max(width, max(map(cell_len, islice(reversed(lines), added + len(last))), default=0))
            dropped = self._total + len(last) - len(lines)
            self.log = Log(lines, dropped, self._skipped or dropped > 0, width, edition, stamps)
            changed = True
            if not chunk.more:
                break
        return changed

    def _add(self, data: bytes) -> int:
        """Add the lines in these bytes; return how many of them end in a newline."""
        data = self._open + data
        added = data.count(b"\n")
        *ended, last = data.rsplit(b"\n", KEPT)
        if added > KEPT:
            ended[0] = ended[0].rpartition(b"\n")[2]
        for line in map(_shown, ended):
            if self._ended and self._ended[-1][0] and _PROGRESS.fullmatch(self._ended[-1][1]):
                self._ended.pop()
                self._total -= 1
            self._ended.append(line)
        self._total += added
        self._open = _last_state(last) + b"\r" * last.endswith(b"\r")
        return added


def _shown(line: bytes) -> tuple[str, str]:
    match = STAMPED.match(clean_log_line(_last_state(line).decode("utf-8", "replace"))[:LONGEST_LINE])
    return (match[1] or "", match[2]) if match else ("", "")


def _last_state(line: bytes) -> bytes:
    """The part after the last carriage return, which is all that a terminal shows of a progress bar."""
    line = line.rstrip(b"\r")
    return line[line.rfind(b"\r") + 1 :][:HEAD]
