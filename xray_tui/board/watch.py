"""Watch: changes below a runs folder in batches, as soon as they are quiet; by inotify, or polling where it is deaf."""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal, Protocol

from engine.contract.text import clean
from xray_tui.system.mounts import file_system_of, is_shared, read_mountinfo
from xray_tui.system.retry import Report, Retry, unheard

QUIET = 0.1
"""Seconds without a change after which a batch goes out."""
LONGEST = 0.3
"""Seconds after its first change at which a batch goes out, quiet or not."""
TICK = 0.25
"""Seconds between two looks at whether the runs folder is still the one that is watched."""
LAST_CALL = 2.0
"""Seconds that `stop` waits for the thread."""
AGAIN, AGAIN_AT_MOST = 30.0, 600.0
"""Seconds until inotify is tried again after a limit of the kernel; each further interval is twice as long."""
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
    """Calls `on_change` from a thread of its own with the paths that changed, relative to the runs folder.

    They are files that matter, and folders, which stand for all below them: the empty string for everything. A path
    may be gone. The runs folder may be missing, be deleted and come again. Nothing that happens
    after `start` has returned is missed. After an error, of `on_change` too, everything counts as changed, and the
    watch goes on after a pause.
    """

    def __init__(
        self,
        runs: Path,
        matters: Callable[[str], bool],
        on_change: Callable[[frozenset[str]], None],
        on_failure: Report = unheard,
        on_polling: Report = unheard,
    ) -> None:
        """`matters` tells from a relative path whether the file can change the board. `on_polling` gets the reason
        when the folder is polled, and an empty line when inotify watches it again."""
        self.runs = runs.absolute()
        self._matters = matters
        self._on_change = on_change
        self._on_polling = on_polling
        self._retry = Retry("watching the runs folder", on_failure)
        self._identity: tuple[int, int] | None = None
        self._source: _Source | None = None
        self._swapping = threading.Lock()
        """Held while the source changes, so that `stop` never wakes one that is being closed."""
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
        self._pending: set[str] = set()
        self._first = self._last = self._looked = time.monotonic()
        """When the oldest and the newest pending change were heard of, and when the folder was last looked at."""
        self._polls = ""
        """Why the folder is polled."""
        self._again = AGAIN
        self._again_at: float | None = None
        """When inotify is tried again; None where it is in use, or would report too little."""

    @property
    def mode(self) -> Mode | None:
        """How changes are heard of; None before `start`."""
        return self._source.mode if self._source else None

    def start(self) -> None:
        self._open()
        self._thread.start()

    def stop(self, patience: float = LAST_CALL) -> None:
        """No call of `on_change` begins after this; one that is under way is waited for, `patience` seconds at most."""
        self._stopping.set()
        with self._swapping:
            if self._source is not None:
                self._source.wake()
        if self._thread.is_alive() and threading.current_thread() is not self._thread:
            self._thread.join(patience)

    def _run(self) -> None:
        while not self._stopping.is_set():
            if pause := self._retry.attempt(self._pass):
                self._pending.add("")
                self._stopping.wait(pause)
        self._close()

    def _pass(self) -> None:
        """Wait for changes until they are due, and deliver them."""
        if self._source is None:  # an error came between closing one and opening the next
            self._open()
        due = min(self._last + QUIET, self._first + LONGEST) if self._pending else time.monotonic() + TICK
        changed = self._read(due - time.monotonic())
        now = time.monotonic()
        if "" in changed or now - self._looked >= TICK:
            self._looked = now
            if self._reopen_if_replaced() or self._is_watched_again(now):
                changed.add("")
        if changed:
            self._first, self._last = (self._first if self._pending else now), now
            self._pending |= changed
        if self._pending and now >= min(self._last + QUIET, self._first + LONGEST) and not self._stopping.is_set():
            self._on_change(frozenset(self._pending))
            self._pending = set()

    def _read(self, timeout: float) -> set[str]:
        assert self._source is not None
        try:
            return self._source.read(timeout)
        except OSError as error:  # the kernel's limit was reached by a new folder
            self._close()
            self._poll(_refusal(error), again=True)
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
        if os.environ.get(ENVIRONMENT, "").strip().lower() == "poll":
            self._poll(f"${ENVIRONMENT} is poll")
        elif is_shared(kind := file_system_of(self.runs, read_mountinfo())):
            self._poll(f"{clean(kind)} is a network file system")
        elif (refusal := self._use_inotify()) is not None:
            self._poll(refusal, again=True)

    def _is_watched_again(self, now: float) -> bool:
        """Try inotify again where a limit of the kernel was in its way, now and then; whether it works."""
        if self._again_at is None or now < self._again_at:
            return False
        self._again = min(2 * self._again, AGAIN_AT_MOST)
        self._again_at = now + self._again
        return self._use_inotify() is None

    def _use_inotify(self) -> str | None:
        """Watch by inotify; the reason where the kernel refuses, and then nothing has changed."""
        from xray_tui.board.inotify import Inotify

        try:
            source = Inotify(self.runs, self._matters)
        except OSError as error:
            return _refusal(error)
        self._close()
        self._use(source, "")
        self._again, self._again_at = AGAIN, None
        return None

    def _poll(self, why: str, again: bool = False) -> None:
        from xray_tui.board.polling import Polling

        self._again_at = time.monotonic() + self._again if again else None
        self._use(Polling(self.runs, self._matters), why)

    def _use(self, source: _Source, polls: str) -> None:
        with self._swapping:
            self._source = source
        if polls != self._polls:
            self._polls = polls
            self._on_polling(polls)

    def _close(self) -> None:
        with self._swapping:
            if self._source is not None:
                self._source.close()
                self._source = None


def _refusal(error: OSError) -> str:
    """Why inotify cannot be used, as it may be shown."""
    if error.errno == errno.ENOSPC:
        return "inotify's limit of watches is reached"
    if error.errno == errno.EMFILE:
        return "inotify's limit of instances is reached"
    return f"inotify: {clean(error.strerror or str(error))}"


def _identity(folder: Path) -> tuple[int, int] | None:
    try:
        about = folder.stat()
    except OSError:
        return None
    return about.st_dev, about.st_ino
