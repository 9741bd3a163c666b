"""Watches a runs folder with Linux inotify: one instance, one watch per folder that the walk visits.

Not the watchdog package, because it delays a file that is moved away, and all later events, by half a second, the whole
time budget of a change; it cannot skip checkpoints and predictions, most of all folders; and at the kernel's limit it
leaves folders unwatched without an error.
"""

from __future__ import annotations

import ctypes
import errno
import os
import select
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from xray_tui.board.walk import looked_into, walk

IN_MODIFY, IN_ATTRIB, IN_CLOSE_WRITE = 0x2, 0x4, 0x8
IN_MOVED_FROM, IN_MOVED_TO, IN_CREATE, IN_DELETE, IN_DELETE_SELF, IN_MOVE_SELF = 0x40, 0x80, 0x100, 0x200, 0x400, 0x800
IN_UNMOUNT, IN_Q_OVERFLOW, IN_IGNORED = 0x2000, 0x4000, 0x8000
IN_ONLYDIR, IN_ISDIR = 0x01000000, 0x40000000
IN_NONBLOCK, IN_CLOEXEC = os.O_NONBLOCK, os.O_CLOEXEC

WATCHED = (
    IN_MODIFY | IN_ATTRIB | IN_CLOSE_WRITE | IN_MOVED_FROM | IN_MOVED_TO
    | IN_CREATE | IN_DELETE | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR
)  # fmt: skip
APPEARED = IN_CREATE | IN_MOVED_TO
VANISHED = IN_DELETE | IN_MOVED_FROM
LIMITS = (errno.ENOSPC, errno.ENOMEM, errno.EMFILE, errno.ENFILE)

_EVENT = struct.Struct("iIII")


class Inotify:
    """The changes below a runs folder. The constructor and `read` raise OSError at a kernel limit."""

    mode: Literal["inotify"] = "inotify"

    def __init__(self, runs: Path, matters: Callable[[str], bool]) -> None:
        self._runs = runs
        self._matters = matters
        self._libc = ctypes.CDLL(None, use_errno=True)
        if not hasattr(self._libc, "inotify_init1"):
            raise OSError(errno.ENOSYS, "this system has no inotify")
        self._file = self._libc.inotify_init1(IN_NONBLOCK | IN_CLOEXEC)
        if self._file < 0:
            raise OSError(ctypes.get_errno(), "inotify cannot be used")
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._poll = select.poll()
        self._poll.register(self._file, select.POLLIN)
        self._poll.register(self._wake, select.POLLIN)
        self._folders: dict[int, list[str]] = {}
        """watch -> the relative paths of its folder; several paths if links lead to the same folder."""
        self._watches: dict[str, int] = {}
        try:
            self._add_tree("")
        except OSError:
            self.close()
            raise

    @property
    def lost(self) -> bool:
        """Whether the runs folder itself is not watched: it is missing or was replaced."""
        return "" not in self._watches

    def read(self, timeout: float) -> set[str]:
        """Relative paths that changed, after at most `timeout` seconds. A folder includes all its content."""
        changed: set[str] = set()
        if not self._poll.poll(max(0.0, timeout) * 1000):
            return changed
        try:
            data = os.read(self._file, 1 << 16)
        except BlockingIOError:
            return changed
        at = 0
        while at < len(data):
            watch, mask, _, length = _EVENT.unpack_from(data, at)
            at += _EVENT.size
            name = os.fsdecode(data[at : at + length].rstrip(b"\0"))
            at += length
            self._handle(watch, mask, name, changed)
        return changed

    def wake(self) -> None:
        """Make `read` return now, from any thread."""
        os.eventfd_write(self._wake, 1)

    def close(self) -> None:
        os.close(self._file)
        os.close(self._wake)

    def _handle(self, watch: int, mask: int, name: str, changed: set[str]) -> None:
        if mask & IN_Q_OVERFLOW:  # events were lost: anything can have changed
            self._add_tree("")
            changed.add("")
            return
        folders = tuple(self._folders.get(watch, ()))
        if mask & (IN_IGNORED | IN_UNMOUNT) or (mask & IN_MOVE_SELF and "" in folders):
            self._forget(watch)
        for folder in folders:
            if not name:
                if mask & (IN_DELETE_SELF | IN_MOVE_SELF | IN_UNMOUNT):
                    changed.add(folder)
                continue
            self._handle_entry(f"{folder}/{name}" if folder else name, name, mask, changed)

    def _handle_entry(self, path: str, name: str, mask: int, changed: set[str]) -> None:
        is_folder, is_followed_link = bool(mask & IN_ISDIR), path in self._watches
        if is_folder or is_followed_link:
            if not looked_into(name) or not mask & (APPEARED | VANISHED | IN_ATTRIB):
                return
            if mask & IN_MOVED_FROM or not is_folder:
                self._drop_tree(path)  # after a deletion the kernel removes the watch itself
            if mask & (APPEARED | IN_ATTRIB):
                self._add_tree(path)
            changed.add(path)
        elif self._matters(path):
            changed.add(path)
        elif mask & APPEARED and looked_into(name) and _is_folder(self._runs / path):  # a link to a folder
            self._add_tree(path)
            changed.add(path)

    def _add_tree(self, start: str) -> None:
        for _ in walk(self._runs, start, enter=self._add):
            pass

    def _add(self, path: str) -> None:
        watch = self._libc.inotify_add_watch(self._file, os.fsencode(self._runs / path), WATCHED)
        if watch < 0:
            code = ctypes.get_errno()
            if code in LIMITS:
                raise OSError(code, "the kernel's limit of inotify watches is reached")
            return  # missing or unreadable: the index reports it
        before = self._watches.get(path)
        if before is not None and before != watch:
            self._folders.get(before, []).remove(path)
        self._watches[path] = watch
        paths = self._folders.setdefault(watch, [])
        if path not in paths:
            paths.append(path)

    def _drop_tree(self, path: str) -> None:
        below = path + "/"
        for dropped in [folder for folder in self._watches if folder == path or folder.startswith(below)]:
            watch = self._watches.pop(dropped)
            paths = self._folders[watch]
            paths.remove(dropped)
            if not paths:
                del self._folders[watch]
                self._libc.inotify_rm_watch(self._file, watch)

    def _forget(self, watch: int) -> None:
        for path in self._folders.pop(watch, ()):
            if self._watches.get(path) == watch:
                del self._watches[path]


def _is_folder(path: Path) -> bool:
    """Whether the path is a folder; False if that is unknown, such as for a link into a folder without access."""
    try:
        return path.is_dir()
    except OSError:
        return False
