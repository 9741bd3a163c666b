"""Retries of a background thread's work: an error is logged and reported, and the work is repeated after a pause."""

from __future__ import annotations

from collections.abc import Callable

from xray_tui.system.error_log import in_words, log_error

LONGEST = 60
"""Longest pause in seconds between two attempts; the pause starts at 1 s and doubles with each failure."""

Report = Callable[[str], None]
"""Called on the working thread with a one-line message after a failure, and with "" when the work succeeds again."""


def unheard(line: str) -> None:
    """A Report that discards its lines."""


class Retry:
    """Runs the work of one thread. `attempt` logs and reports exceptions instead of raising them."""

    def __init__(self, what: str, report: Report) -> None:
        """`what` names the work, such as "reading the jobs"."""
        self._what = what
        self._report = report
        self._failures = 0
        self._logged = ""

    def attempt(self, step: Callable[[], object]) -> float:
        """Run the step; returns the seconds to wait before the next attempt, 0 after a success."""
        try:
            step()
        except Exception as error:
            return self._failed(error)
        self.succeeded()
        return 0.0

    def succeeded(self) -> None:
        """Report that the work succeeds again, if it failed before."""
        if self._failures:
            self._failures, self._logged = 0, ""
            self._report("")

    def _failed(self, error: Exception) -> float:
        pause = min(LONGEST, 1 << min(self._failures, 10))
        self._failures += 1
        line = in_words(error)
        if line != self._logged:
            self._logged = line
            log_error(self._what, error)
        self._report(f"! {self._what} failed: {line}; next try in {pause} s")
        return pause
