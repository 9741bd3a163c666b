"""Signals that end a sleep: what a supervisor waits with, without polling and without a race."""

from __future__ import annotations

import os
import select
import signal
from types import FrameType


class Wakeups:
    """Takes over the signals of this process. A supervisor is deaf to SIGHUP, asked to stop by SIGTERM, and woken by
    the end of its child. Handlers are not inherited by what it starts, but for SIGHUP, which stays ignored there."""

    def __init__(self) -> None:
        self.terminated = False
        """Whether a SIGTERM (or SIGINT) has come."""
        self._reader, writer = os.pipe()
        os.set_blocking(self._reader, False)
        os.set_blocking(writer, False)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.signal(signal.SIGQUIT, signal.SIG_DFL)  # a shell ignores it in what runs in the background
        signal.signal(signal.SIGTERM, self._on_terminate)
        signal.signal(signal.SIGINT, self._on_terminate)
        # Not ignored, whatever was inherited: the status of a child would be lost.
        signal.signal(signal.SIGCHLD, lambda number, frame: None)

    def sleep(self, seconds: float) -> None:
        """Return after that time, or at once when a signal comes or has come since the last sleep."""
        if select.select([self._reader], [], [], max(0.0, seconds))[0]:
            os.read(self._reader, 4096)

    def _on_terminate(self, number: int, frame: FrameType | None) -> None:
        self.terminated = True
