"""Timeouts and restart pauses for the GPU helper process."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Backoff:
    """Durations in seconds. Every pause doubles from its first value up to its longest."""

    silence: float = 5.0
    """Time without output after which the driver counts as hanging."""
    longest_silence: float = 60.0
    restart: float = 1.0
    """Pause before the next helper on a machine with GPUs, after the driver hung, crashed or was unloaded."""
    longest_restart: float = 30.0
    absent: float = 30.0
    """Pause before the next probe on a machine where no GPU has been seen."""
    longest_absent: float = 600.0
    hang: float = 1.25
    """Time without an answer after which one GPU counts as hanging; the helper continues with the other GPUs."""
    stuck: float = 60.0
    """Time for which one GPU may hang before its helper is replaced: the call may succeed in a new process."""
    longest_stuck: float = 3600.0

    def first_answer(self, unanswered: int) -> float:
        """Timeout for the first line of a new helper, after `unanswered` helpers in a row that printed none.

        It grows because starting NVML wakes every GPU on a server without nvidia-persistenced, which can take longer
        than `silence`: with a fixed timeout every helper would be killed before its first line.
        """
        return _doubled(self.silence, unanswered, self.longest_silence)

    def next_answer(self, interval: float) -> float:
        """Timeout for a later line of a helper with this `interval`; GPUs that hang delay a line by twice `hang`."""
        return max(self.silence, interval + 3 * self.hang)

    def before_restart(self, failures: int) -> float:
        """The pause after `failures` failures in a row (1 or more) on a machine with GPUs."""
        return _doubled(self.restart, failures - 1, self.longest_restart)

    def before_next_probe(self, failures: int) -> float:
        """The pause after `failures` probes (1 or more) that found no driver or no GPU."""
        return _doubled(self.absent, failures - 1, self.longest_absent)

    def before_replacing(self, replaced: int) -> float:
        """How long one GPU may hang in a helper, after `replaced` helpers in a row were replaced for a hanging GPU."""
        return _doubled(self.stuck, replaced, self.longest_stuck)


def _doubled(first: float, times: int, longest: float) -> float:
    return min(first * 2.0 ** min(times, 30), longest)
