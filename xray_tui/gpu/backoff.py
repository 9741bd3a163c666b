"""When to give up a GPU helper process, and when to start the next one."""

from __future__ import annotations

from dataclasses import dataclass

from xray_tui.gpu.snapshot import NO_ANSWER, GpuSnapshot


@dataclass(frozen=True, slots=True)
class Backoff:
    """Durations in seconds. One with a `longest_` value doubles with each consecutive failure, up to that value."""

    silence: float = 5.0
    """Time without output after which the driver counts as hanging. For the first line of a helper it doubles with each
    helper that printed none, because starting NVML wakes every GPU on a server without nvidia-persistenced; if that
    took longer than a fixed timeout, every helper would be killed before its first line."""
    longest_silence: float = 60.0
    restart: float = 1.0
    """Pause before the next helper on a machine with GPUs, after the driver hung, crashed or was unloaded."""
    longest_restart: float = 30.0
    absent: float = 30.0
    """Pause before the next probe on a machine where no GPU has been seen."""
    longest_absent: float = 600.0
    hang: float = 2.0
    """Time without an answer after which one GPU counts as hanging; the helper continues with the other GPUs."""
    stuck: float = 60.0
    """Time for which one GPU may hang before its helper is replaced, because the call may succeed in a new process."""
    longest_stuck: float = 3600.0

    def next_answer(self, interval: float) -> float:
        """Timeout for each line after a helper's first one, at this `interval`; hanging GPUs delay a line by `hang`."""
        return max(self.silence, interval + 2 * self.hang)


def doubled(first: float, times: int, longest: float) -> float:
    """`first` doubled `times` times, at most `longest`."""
    return min(first * 2.0 ** min(times, 30), longest)


class HangDetector:
    """Decides when to replace a helper in which a GPU hangs; the call may succeed in a new process."""

    def __init__(self, backoff: Backoff) -> None:
        self._backoff = backoff
        self._since: float | None = None
        self._replaced = 0
        """Number of consecutive helpers that were replaced because of a hanging GPU."""

    def should_replace(self, snapshot: GpuSnapshot, now: float) -> bool:
        """Whether to replace the helper after this snapshot. `now` is monotonic time in seconds."""
        if all(gpu.problem != NO_ANSWER for gpu in snapshot.gpus):
            self._since, self._replaced = None, 0
            return False
        if self._since is None:
            self._since = now
        if now - self._since < doubled(self._backoff.stuck, self._replaced, self._backoff.longest_stuck):
            return False
        self._since, self._replaced = None, self._replaced + 1
        return True
