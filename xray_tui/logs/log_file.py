"""The end of a log that grows: its last lines, clean, in memory."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from rich.cells import cell_len

from engine.contract.text import clean_log_line
from xray_tui.logs.tail import Tail

KEPT = 20_000
"""Lines of a log that are kept."""
TAIL = 8 << 20
"""Bytes of a large log's end that are read when it is opened, and bytes that are read at a time when it grows."""
LONGEST_LINE = 4000
"""Characters of a line that are shown."""
HEAD = 1 << 14
"""Bytes of a line that are decoded: enough for what is shown of it."""


@dataclass(frozen=True, slots=True)
class Log:
    """The last lines of a log."""

    lines: tuple[str, ...] = ()
    """Clean; a last line without a newline is among them."""
    dropped: int = 0
    """Lines before these that were read since the log was opened."""
    cut: bool = False
    """Whether the file has lines before these."""
    width: int = 0
    """Cells of the longest line that was read."""
    edition: int = 0
    """Changes when the file is replaced, cut or rewritten."""


NO_LOG = Log()


class LogFile:
    """One log. Used by one thread."""

    def __init__(self, path: Path) -> None:
        self._tail = Tail(path, TAIL, only_end=True)
        self.log = NO_LOG
        self._ended: deque[str] = deque(maxlen=KEPT)
        """The last lines that a newline ends."""
        self._total = 0
        """Lines that were read, with those that are no longer kept."""
        self._open = b""
        """What follows the last newline, without the states of a progress bar that no longer count."""
        self._skipped = False

    def read(self) -> bool:
        """Read what is new; whether anything was. Raises no error: a file that cannot be read has nothing new."""
        changed = False
        while (chunk := self._tail.read()) is not None:
            width, edition = self.log.width, self.log.edition
            if chunk.fresh:
                self._ended.clear()
                self._total, self._open, self._skipped, width = 0, b"", chunk.skipped, 0
                edition += 1
            added = self._add(chunk.data.partition(b"\n")[2] or chunk.data if chunk.skipped else chunk.data)
            last = [_shown(self._open)] if self._open else []
            lines = (*self._ended, *last)[-KEPT:]
            width = max(width, max(map(cell_len, islice(reversed(lines), added + len(last))), default=0))
            dropped = self._total + len(last) - len(lines)
            self.log = Log(lines, dropped, self._skipped or dropped > 0, width, edition)
            changed = True
            if not chunk.more:
                break
        return changed

    def _add(self, data: bytes) -> int:
        """Take the lines of these bytes; the number of those that a newline ends."""
        data = self._open + data
        added = data.count(b"\n")
        *ended, last = data.rsplit(b"\n", KEPT)
        if added > KEPT:
            ended[0] = ended[0].rpartition(b"\n")[2]
        self._ended.extend(map(_shown, ended))
        self._total += added
        self._open = _last_state(last) + b"\r" * last.endswith(b"\r")
        return added


def _shown(line: bytes) -> str:
    return clean_log_line(_last_state(line).decode("utf-8", "replace"))[:LONGEST_LINE]


def _last_state(line: bytes) -> bytes:
    """What a terminal would leave of a progress bar's line: what follows its last carriage return."""
    line = line.rstrip(b"\r")
    return line[line.rfind(b"\r") + 1 :][:HEAD]
