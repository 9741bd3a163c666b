"""Reading a file that grows: only what is new."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from xray_tui.system.safe_files import open_regular


@dataclass(slots=True)
class Tail:
    """The new bytes of a file at every call, whatever happens to it: not there yet, cut, replaced, written mid-line."""

    path: Path
    most: int = 1 << 20
    """At most this many bytes a call."""
    _offset: int = 0
    _inode: int | None = None

    def read(self) -> Chunk | None:
        """What is new, or None where nothing is. Raises no error: a file that cannot be read has nothing new."""
        try:
            with os.fdopen(open_regular(self.path), "rb") as file:
                status = os.fstat(file.fileno())
                fresh = self._inode != status.st_ino or status.st_size < self._offset
                if fresh:
                    self._inode, self._offset = status.st_ino, 0
                if status.st_size == self._offset and not fresh:
                    return None
                file.seek(self._offset)
                data = file.read(self.most)
        except OSError:
            return None
        self._offset += len(data)
        return Chunk(data, fresh, more=self._offset < status.st_size)


@dataclass(frozen=True, slots=True)
class Chunk:
    """New bytes of a file."""

    data: bytes
    fresh: bool
    """The file is another than before, or was cut: what was read earlier no longer counts."""
    more: bool
    """There is more to read at once."""
