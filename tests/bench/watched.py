"""A program in a terminal of its own whose reader notes when each byte came, and what the program spends."""

from __future__ import annotations

import contextlib
import ctypes
import os
import queue
import re
import threading
import time
from collections.abc import Mapping, Sequence
from types import TracebackType

import pexpect
import psutil
import pyte

COLUMNS, LINES = 120, 40
PATIENCE = 60.0

WHERE, HERE = b"\x1b[6n", b"\x1b[1;1R"
"""The question for the cursor's place, and an answer. gpustat's library waits 20 s for one."""
DEVICE_STRING = re.compile(rb"\x1bP.*?\x1b\\", re.DOTALL)
"""Another question, which pyte takes for text."""


class NotSeen(Exception):
    """The screen never came to show what was waited for, or the program has ended; the message says which, and shows
    the screen."""


class Watched:
    """A command in a pty. Nothing is drawn while one does not ask: what it sends is taken at once, and looked at later.

    Used in a `with`, which ends it and all that it started.
    """

    def __init__(self, command: Sequence[str], env: Mapping[str, str]) -> None:
        self._screen = pyte.Screen(COLUMNS, LINES)
        self._stream = pyte.ByteStream(self._screen)
        self._came: queue.SimpleQueue[tuple[float, bytes]] = queue.SimpleQueue()
        self.sent = 0
        """Bytes so far."""
        self._begun = self._now = time.perf_counter()
        self._child = pexpect.spawn(
            command[0], list(command[1:]), dimensions=(LINES, COLUMNS), env=dict(env), echo=False
        )
        self._root = psutil.Process(self._child.pid)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Watched:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(psutil.NoSuchProcess):
            for process in [*self._root.children(recursive=True), self._root]:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
        self._reader.join(5)  # before the descriptor is closed and its number is another's
        self._child.close(force=True)

    def _read(self) -> None:
        while True:
            try:
                data = os.read(self._child.child_fd, 1 << 16)
            except OSError:  # EIO: the program is gone
                data = b""
            self._came.put((time.perf_counter(), data))
            if not data:
                return
            self.sent += len(data)
            for _ in range(data.count(WHERE)):
                os.write(self._child.child_fd, HERE)

    def when(self, shown: re.Pattern[str]) -> float:
        """Seconds from the start to the moment when its screen showed that. Raises NotSeen."""
        deadline = time.perf_counter() + PATIENCE
        while not shown.search("\n".join(self._screen.display)):
            try:
                self._now, data = self._came.get(timeout=max(0.0, deadline - time.perf_counter()))
            except queue.Empty:
                raise NotSeen(f"{shown.pattern!r} was not shown within {PATIENCE:.0f} s{self._looks()}") from None
            if not data:
                raise NotSeen(f"it has ended{self._looks()}")
            self._stream.feed(DEVICE_STRING.sub(b"", data))
        return self._now - self._begun

    def press(self, keys: bytes) -> None:
        """Type the keys, all at once."""
        os.write(self._child.child_fd, keys)

    def spent(self) -> tuple[float, float]:
        """CPU seconds so far, of the program itself and of all that it started. Raises NotSeen where it has ended."""
        below = 0.0
        for process in [self._root, *self._root.children(recursive=True)]:
            with contextlib.suppress(psutil.NoSuchProcess, OSError):
                times = process.cpu_times()
                below += times.children_user + times.children_system  # of those that have ended
                below += cpu_clock(process.pid) if process != self._root else 0.0
        if not self._reader.is_alive():
            raise NotSeen(f"it has ended{self._looks()}")
        return cpu_clock(self._root.pid), below

    def _looks(self) -> str:
        lines = [line.rstrip() for line in self._screen.display if line.strip()]
        return "; its screen:\n" + "\n".join(lines) if lines else "; its screen is empty"


def cpu_clock(pid: int) -> float:
    """Seconds of user and system time that all threads of a process have had; raises OSError where there is none.

    /proc tells it in steps of 10 ms, and a good monitor uses less than that in a second.
    """
    clock = ctypes.c_int()
    if code := ctypes.CDLL(None).clock_getcpuclockid(pid, ctypes.byref(clock)):
        raise OSError(code, os.strerror(code))
    return time.clock_gettime(clock.value)
