"""Changes in a runs folder by looking again and again: network file systems tell nobody what other machines write."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from xray_tui.board.walk import walk

PERIOD = 0.3
"""Seconds between two looks at a folder that is looked at quickly."""
REST = 10.0
"""After a look that took t seconds there are at least REST * t seconds of rest."""

Sign = tuple[int, int, int] | str


class Polling:
    """The changes below a runs folder, found by comparing modification time, size and inode."""

    mode: Literal["polling"] = "polling"
    lost: bool = False
    """Never: a look finds whatever is in the runs folder's place."""

    def __init__(self, runs: Path, matters: Callable[[str], bool]) -> None:
        self._runs = runs
        self._matters = matters
        self._woken = threading.Event()
        self._seen: dict[str, Sign] = {}
        self._next = 0.0
        self._look()

    def read(self, timeout: float) -> set[str]:
        """Relative paths that changed, after at most `timeout` seconds (and the time that a look takes)."""
        wait = min(timeout, self._next - time.monotonic())
        if wait > 0:
            self._woken.wait(wait)
        return self._look() if time.monotonic() >= self._next else set()

    def wake(self) -> None:
        """Make `read` return now, from any thread."""
        self._woken.set()

    def close(self) -> None:
        pass

    def _look(self) -> set[str]:
        began = time.monotonic()
        now = self._signs()
        before, self._seen = self._seen, now
        ended = time.monotonic()
        self._next = ended + max(PERIOD, REST * (ended - began))
        return {path for path in before.keys() | now.keys() if before.get(path) != now.get(path)}

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
        about = entry.stat()
    except OSError as error:  # a link that leads nowhere, or it has just gone
        return str(error)
    return about.st_mtime_ns, about.st_size, about.st_ino
