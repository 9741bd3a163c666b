"""SIGTERM and SIGINT as a flag that the work looks at between two steps."""

from __future__ import annotations

import signal
from types import FrameType


class StopFlag:
    """Set by the first SIGTERM or SIGINT; the second one acts as it would have without us."""

    def __init__(self) -> None:
        self.is_set = False
        self._before = {number: signal.signal(number, self._on_signal) for number in (signal.SIGTERM, signal.SIGINT)}

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.is_set = True
        self.restore()

    def restore(self) -> None:
        """Put the former handlers back."""
        for number, handler in self._before.items():
            signal.signal(number, handler)


def leave_stopping_to_the_parent(worker: int) -> None:
    """For loader processes: a stop goes to the whole process group, and a loader that died of it would look like a
    failure. They end with the parent."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
