"""Decides when to replace a helper process in which a GPU hangs; the call may succeed in a new process."""

from __future__ import annotations

from xray_tui.gpu.backoff import Backoff
from xray_tui.gpu.errors import NO_ANSWER
from xray_tui.gpu.snapshot import GpuSnapshot


class HangDetector:
    """Tracks how long a GPU has hung in the current helper, and how many helpers in a row were replaced for that."""

    def __init__(self, backoff: Backoff) -> None:
        self._backoff = backoff
        self._since: float | None = None
        self._replaced = 0

    def should_replace(self, snapshot: GpuSnapshot, now: float) -> bool:
        """Whether to replace the helper after this snapshot. `now` is monotonic time in seconds."""
        if all(gpu.problem != NO_ANSWER for gpu in snapshot.gpus):
            self._since, self._replaced = None, 0
            return False
        if self._since is None:
            self._since = now
        if now - self._since < self._backoff.before_replacing(self._replaced):
            return False
        self._since, self._replaced = None, self._replaced + 1
        return True
