"""events.jsonl of a run: appended line by line, cut back to a checkpoint on resume."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from engine.contract.events import format_event


class EventLog:
    """The open events file. A line reaches the file as one write, so that a reader sees at most one unfinished line."""

    def __init__(self, path: Path, *, keep_bytes: int = 0) -> None:
        """Opens for appending; what stands beyond `keep_bytes` (events after the checkpoint) is cut off."""
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
        os.ftruncate(self._file, min(keep_bytes, os.fstat(self._file).st_size))

    @property
    def size(self) -> int:
        """Bytes so far: what a checkpoint remembers."""
        return os.fstat(self._file).st_size

    def write(self, event: str, **fields: Any) -> None:
        os.write(self._file, format_event(event, time.time(), **fields).encode())

    def close(self) -> None:
        os.close(self._file)
