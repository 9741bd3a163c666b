"""Watch: changes below a runs folder in batches, as soon as they are quiet; by inotify, or polling where it is deaf."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal, Protocol

from engine.contract.names import BOARD, NOTE
from xray_tui.board.rules import load_rules
from xray_tui.mounts import file_system_of, is_shared, read_mountinfo

QUIET = 0.1
"""Seconds without a change after which a batch goes out."""
LONGEST = 0.3
"""Seconds after its first change at which a batch goes out, quiet or not."""
TICK = 0.25
"""Seconds between two looks at whether the runs folder is still the one that is watched."""
LAST_CALL = 2.0
"""Seconds that `stop` waits for the thread."""
ENVIRONMENT = "XRAY_TUI_WATCH"
"""Set to `poll`, it forbids inotify."""

Mode = Literal["inotify", "polling"]


class _Source(Protocol):
    """Where changes come from: paths relative to the runs folder, which is itself the empty string."""

    @property
    def mode(self) -> Mode: ...
    @property
    def lost(self) -> bool: ...
    def read(self, timeout: float) -> set[str]: ...
    def wake(self) -> None: ...
    def close(self) -> None: ...


class Watch:
    """Calls `on_change` from a thread of its own with the absolute paths that changed.

    They are artifacts, board.yaml, note.yaml, and folders, which stand for all below them: the runs folder for
    everything. A path may be gone. The runs folder may be missing, be deleted and come again. Nothing that happens
    after `start` has returned is missed.
    """

    def __init__(self, runs: Path, on_change: Callable[[frozenset[Path]], None]) -> None:
        self.runs = runs.absolute()
        self._on_change = on_change
        self._rules = load_rules(self.runs)[0]
        self._identity: tuple[int, int] | None = None
        self._source: _Source | None = None
        self._swapping = threading.Lock()
        """Held while the source changes, so that `stop` never wakes one that is being closed."""
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    @property
    def mode(self) -> Mode | None:
        """How changes are heard of; None before `start`."""
        return self._source.mode if self._source else None

    def start(self) -> None:
        self._open()
        self._thread.start()

    def stop(self) -> None:
        """No call of `on_change` begins after this; one that is under way is waited for, a moment at most."""
        self._stopping.set()
        with self._swapping:
            if self._source is not None:
                self._source.wake()
        if self._thread.is_alive() and threading.current_thread() is not self._thread:
            self._thread.join(LAST_CALL)

    def _run(self) -> None:
        pending: set[str] = set()
        first = last = looked = time.monotonic()
        while not self._stopping.is_set():
            due = min(last + QUIET, first + LONGEST) if pending else time.monotonic() + TICK
            changed = self._read(due - time.monotonic())
            now = time.monotonic()
            if "" in changed or now - looked >= TICK:
                looked = now
                if self._reopen_if_replaced():
                    changed.add("")
            if changed:
                first, last = (first if pending else now), now
                pending |= changed
            if pending and now >= min(last + QUIET, first + LONGEST) and not self._stopping.is_set():
                self._deliver(pending)
                pending = set()
        self._close()

    def _deliver(self, changed: set[str]) -> None:
        if "" in changed or BOARD in changed:
            self._rules = load_rules(self.runs)[0]
        self._on_change(frozenset(self.runs / path for path in changed))

    def _matters(self, path: str) -> bool:
        """Whether a file can change what the board says."""
        return path == BOARD or path.rpartition("/")[2] == NOTE or self._rules.is_artifact(path)

    def _read(self, timeout: float) -> set[str]:
        assert self._source is not None
        try:
            return self._source.read(timeout)
        except OSError:  # the kernel's limit was reached by a new folder
            self._close()
            self._use(self._polling())
            return {""}

    def _reopen_if_replaced(self) -> bool:
        """Watch anew where another folder, or none, is in the runs folder's place; whether it was so."""
        assert self._source is not None
        identity = _identity(self.runs)
        if identity == self._identity and not (identity and self._source.lost):
            return False
        self._close()
        self._open()
        return True

    def _open(self) -> None:
        self._identity = _identity(self.runs)
        self._use(self._inotify() or self._polling())

    def _inotify(self) -> _Source | None:
        """The better source, or None where it is forbidden, deaf or refused by the kernel."""
        if os.environ.get(ENVIRONMENT, "").strip().lower() == "poll":
            return None
        if is_shared(file_system_of(self.runs, read_mountinfo())):
            return None
        from xray_tui.board.inotify import Inotify

        try:
            return Inotify(self.runs, self._matters)
        except OSError:
            return None

    def _polling(self) -> _Source:
        from xray_tui.board.polling import Polling

        return Polling(self.runs, self._matters)

    def _use(self, source: _Source) -> None:
        with self._swapping:
            self._source = source

    def _close(self) -> None:
        with self._swapping:
            if self._source is not None:
                self._source.close()
                self._source = None


def _identity(folder: Path) -> tuple[int, int] | None:
    try:
        about = folder.stat()
    except OSError:
        return None
    return about.st_dev, about.st_ino
