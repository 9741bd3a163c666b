"""Free space on a disk that may not answer, because statvfs on a lost file server blocks forever."""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from threading import Thread

from xray_tui.system.error_log import in_words, log_error

NO_ANSWER = "no answer"


@dataclass(frozen=True, slots=True)
class Disk:
    """Space on a file system in bytes, or why it is unknown."""

    free: int | None = None
    """Bytes that this user may write."""
    total: int | None = None
    problem: str | None = None


class DiskProbe:
    """Reads the space on a folder's disk on a thread, one at a time. The app does not wait for the thread at exit."""

    SOON = 0.3
    """Seconds that `read` waits for the answer; a working disk answers sooner."""
    TIMEOUT = 5.0
    """Seconds after which the disk counts as not answering."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._thread: Thread | None = None
        self._started = 0.0
        self._answer = Disk()

    def read(self) -> Disk:
        """The current space, or the last answer if the disk is slow; all fields are None before the first answer."""
        if self._thread is None or not self._thread.is_alive():
            self._thread = Thread(target=self._read, name="disk", daemon=True)
            self._started = time.monotonic()
            self._thread.start()
        self._thread.join(self.SOON)
        if self._thread.is_alive() and time.monotonic() - self._started >= self.TIMEOUT:
            return Disk(problem=NO_ANSWER)
        return self._answer

    def _read(self) -> None:
        try:
            self._answer = room(self._folder)
        except Exception as error:
            log_error("reading the disk's space", error)
            self._answer = Disk(problem=in_words(error))


def room(folder: Path) -> Disk:
    """The space on the folder's file system, or the error's reason as `problem`."""
    try:
        usage = shutil.disk_usage(folder)
    except OSError as error:
        return Disk(problem=error.strerror or str(error))
    return Disk(usage.free, usage.total)
