"""Watch reports changes below a runs folder in batches, by inotify, or by polling where inotify does not work."""

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
"""Seconds between two checks whether the runs folder was replaced."""
LAST_CALL = 2.0
"""Seconds for which `stop` waits for the thread."""
FIRST_RETRY, LONGEST_RETRY = 30.0, 600.0
"""Seconds until the next attempt with inotify after a kernel limit: the first pause, which doubles, and the longest."""
ENVIRONMENT = "XRAY_TUI_WATCH"
"""Environment variable that disables inotify if it is set to `poll`."""


class Watch:
    """Calls `on_change` on its own thread with the changed paths, relative to the runs folder.

    The paths are files that matter, and folders, which include all their content; the empty string means everything.
    They may no longer exist. The runs folder itself may be missing, deleted or recreated. No change after `start` has
    returned is missed. After an error, also in `on_change`, the watch pauses and then reports everything as changed.
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
        """Why the folder is polled; empty with inotify."""
        self._retry_after = FIRST_RETRY
        self._retry_at: float | None = None
        """Time of the next attempt with inotify; None if inotify is in use or polling is permanent."""

    @property
    def mode(self) -> str | None:
        """`inotify` or `polling`; None before `start`."""
        return self._source.mode if self._source else None

    def start(self) -> None:
        self._open()
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
        if self._source is None:  # an error prevented the previous attempt to open a source
            self._open()
        due = min(self._last + QUIET, self._first + LONGEST) if self._pending else time.monotonic() + TICK
        assert self._source is not None
        try:
            changed = self._source.read(due - time.monotonic())
        except OSError as error:  # a new folder exceeded the kernel limit
            self._close()
            self._poll(_refusal(error), retry=True)
            changed = {""}
        now = time.monotonic()
        if "" in changed or now - self._checked >= TICK:
            self._checked = now
            if self._reopen_if_replaced() or self._retry_inotify(now):
                changed.add("")
        if changed:
            self._first, self._last = (self._first if self._pending else now), now
            self._pending |= changed
        if self._pending and now >= min(self._last + QUIET, self._first + LONGEST) and not self._stopping.is_set():
            self._on_change(frozenset(self._pending))
            self._pending = set()

    def _reopen_if_replaced(self) -> bool:
        """Open a new source if the runs folder was replaced or deleted; return whether it was."""
        assert self._source is not None
        identity = _identity(self.runs)
        if identity == self._identity and not (identity and self._source.lost):
            return False
        self._close()
        self._open()
        return True

    def _open(self) -> None:
        self._identity = _identity(self.runs)
        if os.environ.get(ENVIRONMENT, "").strip().lower() == "poll":
            self._poll(f"${ENVIRONMENT} is poll")
        elif is_shared(kind := file_system_of(self.runs, read_mountinfo())):
            self._poll(f"{clean(kind)} is a network file system")
        elif (refusal := self._use_inotify()) is not None:
            self._poll(refusal, retry=True)

    def _retry_inotify(self, now: float) -> bool:
        """Try inotify again when the next attempt is due; return whether it works."""
        if self._retry_at is None or now < self._retry_at:
            return False
        self._retry_after = min(2 * self._retry_after, LONGEST_RETRY)
        self._retry_at = now + self._retry_after
        return self._use_inotify() is None

    def _use_inotify(self) -> str | None:
        """Switch to inotify, or return the reason for a failure and keep the current source."""
        try:
            source = Inotify(self.runs, self._matters)
        except OSError as error:
            return _refusal(error)
        self._close()
        self._use(source, "")
        self._retry_after, self._retry_at = FIRST_RETRY, None
        return None

    def _poll(self, reason: str, retry: bool = False) -> None:
        self._retry_at = time.monotonic() + self._retry_after if retry else None
        self._use(Polling(self.runs, self._matters), reason)

    def _use(self, source: Inotify | Polling, polling_reason: str) -> None:
        self._source = source
        if polling_reason != self._polling_reason:
            self._polling_reason = polling_reason
            self._on_polling(polling_reason)

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
