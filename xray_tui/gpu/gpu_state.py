"""What stays true of a GPU from one look to the next."""

from __future__ import annotations

from dataclasses import dataclass, field

from xray_tui.gpu.ttl_cache import Lanes


@dataclass(slots=True)
class Known:
    """One GPU, also while it is lost or hangs."""

    uuid: str
    """Empty where it never told it."""
    name: str
    lanes: Lanes = field(default_factory=Lanes)
    problem: str | None = None
    since: float | None = None

    def works(self) -> None:
        """It has given its values."""
        self.problem = self.since = None

    def fails(self, problem: str, now: float) -> None:
        """It gives no values; the first moment of the same problem counts."""
        if self.problem != problem:
            self.problem, self.since = problem, now
        self.lanes = Lanes()  # when it comes back, nothing from before counts
