"""When a helper process in which a GPU hangs is replaced: the call may get through in a new one."""

from __future__ import annotations

from xray_tui.gpu.backoff import Pace
from xray_tui.gpu.errors import NO_ANSWER
from xray_tui.gpu.snapshot import GpuSnapshot


class Stuck:
    """Counts how long some GPU has hung in one helper, and how many helpers that has cost in a row."""

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._since: float | None = None
        self._replaced = 0

    def lasts(self, snapshot: GpuSnapshot, now: float) -> bool:
        """Whether to start a new helper because of this snapshot. `now` is of any clock that is not set back."""
        if all(gpu.problem != NO_ANSWER for gpu in snapshot.gpus):
            self._since, self._replaced = None, 0
            return False
        if self._since is None:
            self._since = now
        if now - self._since < self._pace.before_replacing(self._replaced):
            return False
        self._since, self._replaced = None, self._replaced + 1
        return True
