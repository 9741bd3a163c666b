"""Room on a disk that may not answer: a file server that is gone leaves whoever asks it waiting for ever."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from threading import Thread

from xray_tui.system.error_log import in_words, log_error

NO_ANSWER = "no answer"


@dataclass(frozen=True, slots=True)
class Disk:
    """Room on a file system, in bytes, or why it is not known."""

    free: int | None = None
    """What this user may write."""
    total: int | None = None
    problem: str | None = None


class DiskLook:
    """The room on a folder's disk, asked in a thread of its own.

    Nobody waits for that thread to end, neither the next look nor the app; another is not begun before it is back.
    """

    SOON = 0.3
    """Seconds that a look waits, so that it has the answer of now from every disk that is well."""
    PATIENCE = 5.0
    """Seconds after which it is said that the disk does not answer."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._thread: Thread | None = None
        self._asked = 0.0
        self._answer = Disk()

    def ask(self) -> Disk:
        """The room now, or what a slow disk said last; all None before its first word."""
        if self._thread is None or not self._thread.is_alive():
            self._thread = Thread(target=self._ask, name="disk", daemon=True)
            self._asked = time.monotonic()
            self._thread.start()
        self._thread.join(self.SOON)
        if self._thread.is_alive() and time.monotonic() - self._asked >= self.PATIENCE:
            return Disk(problem=NO_ANSWER)
        return self._answer

    def _ask(self) -> None:
        try:
            self._answer = room(self._folder)
        except Exception as error:
            log_error("asking for the disk's room", error)
            self._answer = Disk(problem=in_words(error))


def room(folder: Path) -> Disk:
    """The room on the folder's file system, or the reason of the system where it has none."""
    try:
        status = os.statvfs(folder)
    except OSError as error:
        return Disk(problem=error.strerror or str(error))
    return Disk(status.f_bavail * status.f_frsize, status.f_blocks * status.f_frsize)
