"""How long to wait for a helper process, and how long before the next one."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds. Every pause doubles from its first value to its longest."""

    silence: float = 5.0
    """Without an answer for so long, the driver counts as hanging."""
    longest_silence: float = 60.0
    restart: float = 1.0
    """Before the next helper, where there were GPUs: the driver hung, crashed or was unloaded."""
    longest_restart: float = 30.0
    absent: float = 30.0
    """Before the next look, where there never was a GPU."""
    longest_absent: float = 600.0
    hang: float = 1.25
    """One GPU that has not answered for so long hangs; the helper then goes on with the others."""
    stuck: float = 60.0
    """A helper in which one GPU has hung for so long is replaced: the call may get through in a new process."""
    longest_stuck: float = 3600.0

    def first_answer(self, unanswered: int) -> float:
        """How long a new helper may take to its first line, after so many that never came to it.

        It grows, because on a server without nvidia-persistenced starting NVML wakes every GPU, which can take longer
        than `silence`; killed each time, it would never get there.
        """
        return _doubled(self.silence, unanswered, self.longest_silence)

    def next_answer(self, interval: float) -> float:
        """How long an answering helper may take to its next line: GPUs that hang delay it by twice `hang`."""
        return max(self.silence, interval + 3 * self.hang)

    def before_restart(self, failures: int) -> float:
        """The pause after so many failures in a row (1 or more) on a machine that has GPUs."""
        return _doubled(self.restart, failures - 1, self.longest_restart)

    def before_looking_again(self, failures: int) -> float:
        """The pause after so many looks (1 or more) that found no driver or no GPU."""
        return _doubled(self.absent, failures - 1, self.longest_absent)

    def before_replacing(self, replaced: int) -> float:
        """How long one GPU may hang in a helper, after so many that were replaced for that."""
        return _doubled(self.stuck, replaced, self.longest_stuck)


def _doubled(first: float, times: int, longest: float) -> float:
    return min(first * 2.0 ** min(times, 30), longest)
