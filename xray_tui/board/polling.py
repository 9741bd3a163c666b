"""Watches a runs folder by polling, because network file systems do not report the writes of other machines."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from xray_tui.board.walk import walk

PERIOD = 0.3
"""Minimum seconds between two scans."""
REST = 10.0
"""Minimum pause after a scan, as a multiple of the scan's duration."""

Sign = tuple[int, int, int] | str


class Polling:
    """The changes below a runs folder, found by comparing modification time, size and inode."""

    mode: Literal["polling"] = "polling"
    lost: bool = False
    """Always False: a scan also finds a replaced runs folder."""

    def __init__(self, runs: Path, matters: Callable[[str], bool]) -> None:
        self._runs = runs
        self._matters = matters
        self._woken = threading.Event()
        self._seen: dict[str, Sign] = {}
        self._next = 0.0
        self._scan()

    def read(self, timeout: float) -> set[str]:
        """Relative paths that changed, after at most `timeout` seconds plus the duration of a scan."""
        wait = min(timeout, self._next - time.monotonic())
        if wait > 0:
            self._woken.wait(wait)
        return self._scan() if time.monotonic() >= self._next else set()

    def wake(self) -> None:
        """Make `read` return now, from any thread."""
        self._woken.set()

    def close(self) -> None:
        pass

    def _scan(self) -> set[str]:
        start = time.monotonic()
        new = self._signs()
        old, self._seen = self._seen, new
        end = time.monotonic()
        self._next = end + max(PERIOD, REST * (end - start))
        return {path for path in old.keys() | new.keys() if old.get(path) != new.get(path)}

    def _signs(self) -> dict[str, Sign]:
        signs: dict[str, Sign] = {}
        for folder in walk(self._runs):
            if folder.problem is not None:
                signs[folder.path] = str(folder.problem)
            elif folder.path and self._matters(folder.path):
                signs[folder.path] = "a folder"
            for entry in folder.files:
                path = f"{folder.path}/{entry.name}" if folder.path else entry.name
                if self._matters(path):
                    signs[path] = _sign(entry)
        return signs


def _sign(entry: os.DirEntry[str]) -> Sign:
    try:
        status = entry.stat()
    except OSError as error:  # a broken link or a file that was just deleted
        return str(error)
    return status.st_mtime_ns, status.st_size, status.st_ino
