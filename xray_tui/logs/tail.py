"""Reads only the new bytes of a growing file."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from xray_tui.system.safe_files import open_regular

MARK = 64
"""Number of bytes to remember before the read position; if they change, the file was rewritten."""


@dataclass(slots=True)
class Tail:
    """Reads the new bytes at every call, even if the file is missing, truncated, replaced or rewritten."""

    path: Path
    most: int = 1 << 20
    """Maximum bytes per call."""
    only_end: bool = False
    """Whether the first read of a larger file skips all but the last `most` bytes."""
    _offset: int = 0
    _identity: tuple[int, int] | None = None
    _mark: bytes = b""

    def read(self) -> Chunk | None:
        """The new bytes, or None if there are none. Never raises; an unreadable file counts as unchanged."""
        try:
            with os.fdopen(
                open_regular(self.path), "rb"
            ) as file:  # reopened so that NFS shows writes of other machines
                status = os.fstat(file.fileno())
                fresh = self._is_new_file(file.fileno(), status)
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

    def _is_new_file(self, descriptor: int, status: os.stat_result) -> bool:
        """Whether the file was replaced, truncated, or rewritten with more bytes since the last read."""
        if self._identity != (status.st_dev, status.st_ino) or status.st_size < self._offset:
            return True
        grown = status.st_size > self._offset
        return grown and os.pread(descriptor, len(self._mark), self._offset - len(self._mark)) != self._mark


@dataclass(frozen=True, slots=True)
class Chunk:
    """New bytes of a file."""

    data: bytes
    fresh: bool
    """Whether the file was replaced, truncated or rewritten, so that what was read earlier must be discarded."""
    more: bool
    """Whether more bytes are available now."""
    skipped: bool = False
    """Whether the file has earlier bytes that were not read."""
