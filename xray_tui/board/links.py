"""Files that are links: their targets may change in folders that nobody watches, so they are looked at now and then."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

PERIOD = 0.2
"""Seconds between two looks at links that are looked at quickly."""
REST = 10.0
"""After a look that took t seconds there are at least REST * t seconds of rest."""

Sign = tuple[int, int, int] | str


class Links:
    """The links to files below a runs folder, each with what its target was like when it was last looked at."""

    def __init__(self, runs: Path, matters: Callable[[str], bool]) -> None:
        self._runs = runs
        self._matters = matters
        self._signs: dict[str, Sign] = {}
        self._next = 0.0

    def note(self, path: str) -> None:
        """Look at this link (by its path relative to the runs folder) from now on, as long as it is one."""
        self._signs[path] = self._sign(path) if self._matters(path) else ""

    def changed(self) -> set[str]:
        """The links that matter whose targets are not as they were; empty where it is not yet time to look."""
        began = time.monotonic()
        if not self._signs or began < self._next:
            return set()
        found = set()
        for path, before in list(self._signs.items()):
            if not self._matters(path):
                continue
            if not self._is_link(path):
                del self._signs[path]
                continue
            now = self._signs[path] = self._sign(path)
            if now != before:
                found.add(path)
        ended = time.monotonic()
        self._next = ended + max(PERIOD, REST * (ended - began))
        return found

    def _is_link(self, path: str) -> bool:
        try:
            return (self._runs / path).is_symlink()
        except OSError:
            return False

    def _sign(self, path: str) -> Sign:
        try:
            about = (self._runs / path).stat()
        except OSError as error:  # it leads nowhere
            return str(error)
        return about.st_mtime_ns, about.st_size, about.st_ino
