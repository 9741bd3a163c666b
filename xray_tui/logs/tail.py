"""Reading a file that grows: only what is new."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from xray_tui.system.safe_files import open_regular

MARK = 64
"""Bytes before the end of what was read; where they have changed, the file was rewritten."""


@dataclass(slots=True)
class Tail:
    """The new bytes of a file at every call, whatever happens to it: not there yet, cut, replaced, written mid-line."""

    path: Path
    most: int = 1 << 20
    """At most this many bytes a call."""
    only_end: bool = False
    """Whether of a larger file only the last `most` bytes are read at first."""
    _offset: int = 0
    _identity: tuple[int, int] | None = None
    _mark: bytes = b""

    def read(self) -> Chunk | None:
        """What is new, or None where nothing is. Raises no error: a file that cannot be read has nothing new."""
        try:
            with os.fdopen(open_regular(self.path), "rb") as file:  # opened each time: shows what other machines write
                status = os.fstat(file.fileno())
                fresh = self._is_another(file.fileno(), status)
                if status.st_size == self._offset and not fresh:
                    return None
                start = max(0, status.st_size - self.most) if self.only_end else 0
                file.seek(start if fresh else self._offset)
                data = file.read(self.most)
        except OSError:
            return None
        if fresh:
            self._identity, self._offset, self._mark = (status.st_dev, status.st_ino), start, b""
        self._offset += len(data)
        self._mark = (self._mark + data[-MARK:])[-MARK:]
        return Chunk(data, fresh, more=self._offset < status.st_size, skipped=fresh and start > 0)

    def _is_another(self, descriptor: int, status: os.stat_result) -> bool:
        """Whether this is no longer the file that was read: it was replaced, cut, or rewritten and is longer."""
        if self._identity != (status.st_dev, status.st_ino) or status.st_size < self._offset:
            return True
        grown = status.st_size > self._offset
        return grown and os.pread(descriptor, len(self._mark), self._offset - len(self._mark)) != self._mark


@dataclass(frozen=True, slots=True)
class Chunk:
    """New bytes of a file."""

    data: bytes
    fresh: bool
    """The file is another than before, or was cut: what was read earlier no longer counts."""
    more: bool
    """There is more to read at once."""
    skipped: bool = False
    """The file has bytes before these that were not read."""
