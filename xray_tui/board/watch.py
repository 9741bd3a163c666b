"""Watch reports changes below a runs folder in batches, using inotify, or polling if inotify does not work."""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

from engine.contract.text import clean
from xray_tui.board.watch_sources import Inotify, Polling
from xray_tui.system.mounts import file_system_of, is_shared, read_mountinfo
from xray_tui.system.retry import Report, Retry, unheard

QUIET = 0.1
"""Seconds without a change after which a batch is delivered."""
LONGEST = 0.3
"""Maximum seconds from the first change of a batch to its delivery."""
TICK = 0.25
"""Seconds between two checks of whether the runs folder was replaced."""
LAST_CALL = 2.0
"""Longest time in seconds that `stop` waits for the thread."""
FIRST_RETRY, LONGEST_RETRY = 30.0, 600.0
"""Seconds until inotify is tried again after a kernel limit: the first pause, which then doubles, and the longest."""
ENVIRONMENT = "XRAY_TUI_WATCH"
"""Environment variable that disables inotify if it is set to `poll`."""


class Watch:
    """Calls `on_change` on its own thread with the changed paths, relative to the runs folder.

    The paths are files that matter, and folders, which include all their content; the empty string means everything.
    They may no longer exist. The runs folder itself may be missing, deleted or recreated. No change after `start` has
    returned is missed. After an error, even in `on_change`, the watch pauses and then reports everything as changed.
    """

    def __init__(
        self,
        runs: Path,
        matters: Callable[[str], bool],
        on_change: Callable[[frozenset[str]], None],
        on_failure: Report = unheard,
        on_polling: Report = unheard,
    ) -> None:
        """`matters` returns whether the file at a relative path can affect the board. `on_polling` receives the reason
        for polling, and an empty text after a return to inotify."""
        self.runs = runs.absolute()
        self._matters = matters
        self._on_change = on_change
        self._on_polling = on_polling
        self._retry = Retry("watching the runs folder", on_failure)
        self._identity: tuple[int, int] | None = None
        self._source: Inotify | Polling | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
        self._pending: set[str] = set()
        self._first = self._last = self._checked = time.monotonic()
        """Times of the oldest and the newest pending change, and of the last check of the runs folder."""
        self._polling_reason = ""
        """Why the folder is polled; empty while inotify is used."""
        self._retry_after = FIRST_RETRY
        self._retry_at: float | None = None
        """Time of the next attempt with inotify; None if inotify is in use or polling is permanent."""

    @property
    def mode(self) -> str | None:
        """`inotify` or `polling`; None before `start`."""
        return self._source.mode if self._source else None

    def start(self) -> None:
        self._open(time.monotonic())
        self._thread.start()

    def stop(self, patience: float = LAST_CALL) -> None:
        """Prevent further calls of `on_change`, and wait at most `patience` seconds for a call in progress."""
        self._stopping.set()
        if self._thread.is_alive() and threading.current_thread() is not self._thread:
            self._thread.join(patience)

    def _run(self) -> None:
        while not self._stopping.is_set():
            if pause := self._retry.attempt(self._pass):
                self._pending.add("")
                self._stopping.wait(pause)
        self._close()

    def _pass(self) -> None:
        """Wait for changes and deliver the pending batch when it is due."""
        now = time.monotonic()
        source = self._source or self._open(now)  # None after an error
        due = min(self._last + QUIET, self._first + LONGEST) if self._pending else now + TICK
        try:
            changed = source.read(due - now)
        except OSError:  # a new folder exceeded the kernel limit
            self._open(now)
            changed = {""}
        now = time.monotonic()
        if "" in changed or now - self._checked >= TICK:
            self._checked = now
            if self._reopen_if_due(now):
                changed.add("")
        if changed:
            self._first, self._last = (self._first if self._pending else now), now
            self._pending |= changed
        if self._pending and now >= min(self._last + QUIET, self._first + LONGEST) and not self._stopping.is_set():
            self._on_change(frozenset(self._pending))
            self._pending = set()

    def _reopen_if_due(self, now: float) -> bool:
        """Open a new source if the runs folder was replaced, or to try inotify again; return whether it did."""
        identity = _identity(self.runs)
        is_lost = identity is not None and (self._source is None or self._source.lost)
        if identity == self._identity and not is_lost and (self._retry_at is None or now < self._retry_at):
            return False
        self._open(now)
        return True

    def _open(self, now: float) -> Inotify | Polling:
        """Replace the source by inotify, or by polling if inotify does not work."""
        self._close()
        self._identity, self._retry_at, reason = _identity(self.runs), None, ""
        if os.environ.get(ENVIRONMENT, "").strip().lower() == "poll":
            reason = f"${ENVIRONMENT} is poll"
        elif is_shared(kind := file_system_of(self.runs, read_mountinfo())):
            reason = f"{clean(kind)} is a network file system"
        else:
            try:
                self._source = Inotify(self.runs, self._matters)
                self._retry_after = FIRST_RETRY
            except OSError as error:
                reason = _refusal(error)
                self._retry_at = now + self._retry_after
                self._retry_after = min(2 * self._retry_after, LONGEST_RETRY)
        self._source = self._source or Polling(self.runs, self._matters)
        if reason != self._polling_reason:
            self._polling_reason = reason
            self._on_polling(reason)
        return self._source

    def _close(self) -> None:
        if self._source is not None:
            self._source.close()
            self._source = None


def _refusal(error: OSError) -> str:
    """The reason why inotify cannot be used, safe to show."""
    if error.errno == errno.ENOSPC:
        return "the limit of inotify watches is reached"
    if error.errno == errno.EMFILE:
        return "the limit of inotify instances is reached"
    return f"inotify: {clean(error.strerror or str(error))}"


def _identity(folder: Path) -> tuple[int, int] | None:
    try:
        status = folder.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
