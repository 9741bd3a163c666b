"""Steps of a background thread: an error is logged and reported, and the step is tried again after a pause."""

from __future__ import annotations

from collections.abc import Callable

from xray_tui.system.error_log import in_words, log_error

LONGEST = 60
"""Longest pause between two tries, in seconds; the first pause is 1 s, each further one twice as long."""

Report = Callable[[str], None]
"""Takes a line about the failure, and an empty line once the work succeeds again; from the thread that works."""


def unheard(line: str) -> None:
    """A report that is not shown."""


class Retry:
    """Runs the steps of one thread, each in `attempt`. An error never leaves it."""

    def __init__(self, what: str, report: Report) -> None:
        """`what` names the work in the report: "reading the jobs"."""
        self._what = what
        self._report = report
        self._failures = 0
        self._logged = ""

    def attempt(self, step: Callable[[], object]) -> float:
        """Run the step; the seconds to wait before the next try, 0 where it succeeded."""
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
        said = in_words(error)
        if said != self._logged:
            self._logged = said
            log_error(self._what, error)
        self._report(f"! {self._what} failed: {said}; next try in {pause} s")
        return pause
