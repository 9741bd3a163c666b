"""events.jsonl of a run: appended line by line, cut back to a checkpoint on resume."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from engine.contract.events import format_event
from engine.contract.files import named


class EventLog:
    """The open events file, or none where another rank writes it. A line reaches the file as one write, so that a
    reader sees at most one unfinished line."""

    def __init__(self, path: Path | None, *, keep_bytes: int = 0) -> None:
        """Opens for appending; what stands beyond `keep_bytes` (events after the checkpoint) is cut off."""
        self._path = path
        if path is None:
            self._file = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
            return
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
        os.ftruncate(self._file, min(keep_bytes, os.fstat(self._file).st_size))

    @property
    def size(self) -> int:
        """Bytes so far: what a checkpoint remembers."""
        return os.fstat(self._file).st_size

    def write(self, event: str, **fields: Any) -> None:
        """Raises OSError with the file's name in it: disk full. Half a line may be left, which a resume cuts off."""
        line = format_event(event, time.time(), **fields).encode()
        with named(self._path or Path(os.devnull)):
            while line:
                line = line[os.write(self._file, line) :]

    def sync(self) -> None:
        """What was written so far outlasts a crash of the machine: a checkpoint counts on it."""
        if self._path is not None:
            with named(self._path):
                os.fsync(self._file)

    def close(self) -> None:
        os.close(self._file)
