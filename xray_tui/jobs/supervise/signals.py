"""An interruptible sleep for supervisors: a signal ends it, without polling and without a race."""

from __future__ import annotations

import os
import select
import signal
from types import FrameType


class Wakeups:
    """Installs the signal handlers of this process: SIGHUP is ignored, SIGTERM and SIGINT ask for a stop, and SIGCHLD
    ends the sleep. Child processes inherit only the ignored SIGHUP."""

    def __init__(self) -> None:
        self.terminated = False
        """Whether SIGTERM or SIGINT was received."""
        self._reader, writer = os.pipe()
        os.set_blocking(self._reader, False)
        os.set_blocking(writer, False)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.signal(signal.SIGQUIT, signal.SIG_DFL)  # a shell makes its background processes ignore it
        signal.signal(signal.SIGTERM, self._on_terminate)
        signal.signal(signal.SIGINT, self._on_terminate)
        # If SIGCHLD was inherited as ignored, the exit status of a child would be lost.
        signal.signal(signal.SIGCHLD, lambda number, frame: None)

    def sleep(self, seconds: float) -> None:
        """Sleep until the time is over or a signal arrives; returns at once if one has arrived since the last sleep."""
        if select.select([self._reader], [], [], max(0.0, seconds))[0]:
            os.read(self._reader, 4096)

    def _on_terminate(self, number: int, frame: FrameType | None) -> None:
        self.terminated = True
