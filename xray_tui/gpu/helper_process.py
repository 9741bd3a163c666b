"""One helper process and the pipe that its lines come through. Nothing here waits longer than it was told to."""

from __future__ import annotations

import contextlib
import errno
import os
import selectors
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence

_GRACE = 0.3
"""Seconds in which an ended process has to be reaped; one that hangs in the kernel is left to the system."""

_MOST_LEFT = 3
"""Helpers that were killed and have not gone: they hang in the kernel, where a fourth would only join them."""

_left: list[subprocess.Popen[bytes]] = []
_left_lock = threading.Lock()  # samplers and single looks share the list, from threads of their own


def left_behind() -> int:
    """How many helpers of this process were killed and have not gone yet."""
    with _left_lock:
        _left[:] = [process for process in _left if process.poll() is None]
        return len(_left)


class Silent(Exception):
    """No line came in the time that was given."""


class Ended(Exception):
    """The process has closed its output; the message says how it ended."""


class Child:
    """A running `python -m xray_tui.gpu.helper_main`. Raises OSError where it cannot be started, or must not, because
    earlier ones hang in the driver and cannot be ended.

    Linux kills it when the *thread* that made it ends (see the helper), so make it in a thread that outlives it.
    """

    def __init__(self, arguments: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
        if left_behind() >= _MOST_LEFT:
            raise OSError(
                errno.EAGAIN, f"{_MOST_LEFT} of them hang in the driver and cannot be ended, see `sudo dmesg`"
            )
        # -P: a json.py in the folder where the app was started must not be imported. A session of its own: Ctrl+C and
        # Ctrl+Z in the terminal are meant for the app.
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "xray_tui.gpu.helper_main", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            env=None if environment is None else dict(environment),
            start_new_session=True,
        )
        self._rest = b""

    def lines(self, timeout: float) -> list[bytes]:
        """The lines that have come, at least one. Raises Silent after `timeout` seconds without one, or Ended."""
        assert self._process.stdout is not None
        output = self._process.stdout.fileno()
        deadline = time.monotonic() + timeout
        with selectors.DefaultSelector() as selector:
            selector.register(output, selectors.EVENT_READ)
            while True:
                # Asked twice: a wait whose time went by while we were stopped (Ctrl+Z) ends without a look at the pipe.
                if not selector.select(max(0.0, deadline - time.monotonic())) and not selector.select(0):
                    raise Silent
                data = os.read(output, 1 << 16)
                if not data:
                    raise Ended(self._how_it_ended())
                *whole, self._rest = (self._rest + data).split(b"\n")
                if whole:
                    return whole
                if time.monotonic() >= deadline:
                    raise Silent

    def say(self, line: str) -> None:
        """Write a line to its stdin; nothing happens where it has ended."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError, ValueError):
            self._process.stdin.write(line.encode() + b"\n")

    def kill(self) -> None:
        """Send SIGKILL and return at once. From any thread, any number of times."""
        with contextlib.suppress(OSError):
            self._process.kill()

    def close(self) -> None:
        """Kill it, close the pipes, and reap it if it is quick about it. From the thread that reads."""
        self.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        try:
            self._process.wait(_GRACE)
        except subprocess.TimeoutExpired:
            with _left_lock:
                _left.append(self._process)

    def _how_it_ended(self) -> str:
        try:
            code = self._process.wait(_GRACE)
        except subprocess.TimeoutExpired:
            return "it closed its output"
        return f"signal {-code}" if code < 0 else f"exit code {code}"
