"""SIGTERM and SIGINT as a flag that the work looks at between two steps, and what they mean to its children."""

from __future__ import annotations

import ctypes
import os
import signal
from types import FrameType
from typing import Any


class StopFlag:
    """Set by the first SIGTERM or SIGINT; the second one acts as it would have without us."""

    def __init__(self) -> None:
        self.is_set = False
        self._before: dict[int, Any] = {}
        for number in (signal.SIGTERM, signal.SIGINT):
            self._before[number] = signal.getsignal(number)  # known before the first signal can come
            signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.is_set = True
        self.restore()

    def restore(self) -> None:
        """Put the former handlers back."""
        for number, handler in self._before.items():
            signal.signal(number, handler)


_PR_SET_PDEATHSIG = 1


def leave_stopping_to_the_parent(parent: int) -> None:
    """For loader processes: a stop goes to the whole process group, and a loader that died of it would look like a
    failure. They end with the parent."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    end_with(parent)


def end_with(parent: int) -> None:
    """Be killed as soon as the parent is gone, whatever it died of. Loaders look for it every five seconds by
    themselves, and hold the run folder and the leases until then. Linux alone knows this."""
    try:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    except (OSError, AttributeError):
        return
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)
