"""Sources of changed paths for the watch: inotify, or polling if inotify reports nothing.

Both use watchdog, but look only into the folders that the walk enters. The recursive observer of watchdog would also
watch checkpoints and predictions, which are most of the folders, and its queue overflows at 10,000 runs.
"""

# ruff: noqa: PTH112, PTH116 - strings, which watchdog gives
from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Event
from typing import Literal

from watchdog.events import DirModifiedEvent, FileSystemEvent, FileSystemEventHandler
from watchdog.observers.inotify_c import (
    InotifyConstants,
    InotifyEvent,
    InotifyFD,
    WatchDescriptor,
    inotify_add_watch,
    inotify_rm_watch,
)
from watchdog.observers.polling import PollingObserverVFS

from xray_tui.board.walk import join, list_folder, looked_into, walk

PERIOD = 0.3
"""Minimum seconds between two scans of a polled folder."""
REST = 10.0
"""Minimum pause between two scans, as a multiple of the scan's duration."""

APPEARED = InotifyConstants.IN_CREATE | InotifyConstants.IN_MOVED_TO
VANISHED = InotifyConstants.IN_DELETE | InotifyConstants.IN_MOVED_FROM
ATTRIBUTES = InotifyConstants.IN_ATTRIB
CONTENT = InotifyConstants.IN_MODIFY | InotifyConstants.IN_CLOSE_WRITE
SELF = InotifyConstants.IN_DELETE_SELF | InotifyConstants.IN_MOVE_SELF
WATCHED = APPEARED | VANISHED | ATTRIBUTES | CONTENT | SELF | InotifyConstants.IN_ONLYDIR
LIMITS = (errno.ENOSPC, errno.ENOMEM, errno.EMFILE, errno.ENFILE)


class Inotify:
    """Reports the changes below a runs folder. The constructor and `read` raise OSError if a kernel limit is reached.

    The thread of InotifyFD is not started; `read` reads its events, so that errors reach the caller.
    """

    mode: Literal["inotify"] = "inotify"

    def __init__(self, runs: Path, matters: Callable[[str], bool]) -> None:
        self._runs = runs
        self._matters = matters
        self._inotify = InotifyFD()
        self._file = self._inotify._inotify_fd
        os.set_inheritable(self._file, False)
        self._folders: dict[WatchDescriptor, set[str]] = {}
        """Maps each watch to the relative paths of its folder; there are several if links lead to the same folder."""
        self._watches: dict[str, WatchDescriptor] = {}
        try:
            self._add_tree("")
        except OSError:
            self.close()
            raise

    @property
    def lost(self) -> bool:
        """Whether the runs folder itself is not watched, because it is missing or was replaced."""
        return "" not in self._watches

    def read(self, timeout: float) -> set[str]:
        """Wait at most `timeout` seconds and return the relative paths that changed. A folder includes its content."""
        changed: set[str] = set()
        assert self._inotify._poller is not None
        if self._inotify._poller.poll(max(0.0, timeout) * 1000):
            for event in self._inotify.read_events():
                self._handle(event, changed)
        return changed

    def close(self) -> None:
        self._inotify._close_resources()  # removes all watches at once

    def _handle(self, event: InotifyEvent, changed: set[str]) -> None:
        if event.is_queue_overflow:  # events were lost, so anything may have changed
            self._add_tree("")
            changed.add("")
            return
        folders = tuple(self._folders.get(event.wd, ()))
        gone = event.mask & (InotifyConstants.IN_IGNORED | InotifyConstants.IN_UNMOUNT)
        if gone or (event.is_move_self and "" in folders):
            for path in self._folders.pop(event.wd, ()):
                if self._watches.get(path) == event.wd:
                    del self._watches[path]
        name = os.fsdecode(event.name)
        for folder in folders:
            if name:
                self._handle_entry(join(folder, name), name, event, changed)
            elif event.mask & (SELF | InotifyConstants.IN_UNMOUNT):
                changed.add(folder)

    def _handle_entry(self, path: str, name: str, event: InotifyEvent, changed: set[str]) -> None:
        if event.is_directory or path in self._watches:
            is_changed_folder = bool(event.mask & (APPEARED | VANISHED | ATTRIBUTES))
        elif self._matters(path):
            changed.add(path)
            return
        else:  # perhaps a link to a folder
            is_changed_folder = bool(event.mask & APPEARED) and os.path.isdir(self._runs / path)
        if is_changed_folder and looked_into(name):
            if event.is_moved_from or not event.is_directory:
                self._drop_tree(path)  # after a deletion the kernel removes the watch itself
            self._add_tree(path)
            changed.add(path)

    def _add_tree(self, start: str) -> None:
        for _ in walk(self._runs, start, enter=self._add):
            pass

    def _add(self, path: str) -> None:
        watch = inotify_add_watch(self._file, os.fsencode(self._runs / path), WATCHED)
        if watch < 0:
            code = ctypes.get_errno()
            if code in LIMITS:
                raise OSError(code, os.strerror(code))
            return  # missing or unreadable: the index reports it
        before = self._watches.get(path)
        if before is not None:
            self._folders.get(before, set()).discard(path)
        self._watches[path] = watch
        self._folders.setdefault(watch, set()).add(path)

    def _drop_tree(self, path: str) -> None:
        for dropped in [folder for folder in self._watches if f"{folder}/".startswith(f"{path}/")]:
            watch = self._watches.pop(dropped)
            self._folders[watch].discard(dropped)
            if not self._folders[watch]:
                del self._folders[watch]
                inotify_rm_watch(self._file, watch)


class Polling(FileSystemEventHandler):
    """Finds the changes below a runs folder by comparing modification time, size, mode and inode."""

    mode: Literal["polling"] = "polling"

    def __init__(self, runs: Path, matters: Callable[[str], bool]) -> None:
        self._runs = str(runs)
        self._matters = matters
        self._changed: SimpleQueue[str] = SimpleQueue()
        self._problems: dict[str, str] = {}
        """Maps each folder to the reason why it could not be listed; empty once it can be listed again."""
        self._began = time.monotonic() - PERIOD
        """Time at which the newest scan began."""
        self._closed = Event()
        self._observer = PollingObserverVFS(_stat, self._list, polling_interval=PERIOD)
        if runs.is_dir():
            self._observer.schedule(self, self._runs, recursive=True)
            with contextlib.suppress(OSError):  # just deleted
                self._observer.start()

    @property
    def lost(self) -> bool:
        """Whether the runs folder is not polled, because it is missing or was deleted."""
        return not any(emitter.is_alive() for emitter in self._observer.emitters)

    def read(self, timeout: float) -> set[str]:
        """Wait at most `timeout` seconds and return the relative paths that changed."""
        try:
            changed = {self._changed.get(timeout=max(0.0, timeout))}
        except Empty:
            return set()
        while not self._changed.empty():
            changed.add(self._changed.get())
        return changed

    def close(self) -> None:
        self._closed.set()
        self._observer.stop()

    def on_any_event(self, event: FileSystemEvent) -> None:
        if not isinstance(event, DirModifiedEvent):  # its changed files have their own events
            for place in filter(None, (event.src_path, event.dest_path)):
                self._changed.put(self._relative(str(place)))

    def _relative(self, place: str) -> str:
        return place[len(self._runs) + 1 :]

    def _list(self, place: str | None) -> Iterator[os.DirEntry[str]]:
        """The entries of a folder to compare. At the start of a scan, pause in proportion to the previous scan."""
        path, problem = self._relative(place or self._runs), ""
        if not path:
            self._closed.wait(REST * (time.monotonic() - PERIOD - self._began))
            self._began = time.monotonic()
        try:
            entries, files = list_folder(self._runs, path)
            entries += [file for file in files if self._matters(join(path, file.name))]
        except OSError as error:
            entries, problem = [], "" if isinstance(error, FileNotFoundError) else str(error)
        if problem != self._problems.get(path, ""):
            self._problems[path] = problem
            self._changed.put(path)
        return iter(entries)


def _stat(place: str) -> os.stat_result:
    """The status of a file, or of the link itself if it is broken, because the board reports broken links."""
    try:
        return os.stat(place)
    except OSError:
        return os.lstat(place)
