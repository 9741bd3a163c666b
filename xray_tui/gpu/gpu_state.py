"""What the helper remembers about a GPU from one snapshot to the next."""

from __future__ import annotations

from dataclasses import dataclass, field

from xray_tui.gpu.ttl_cache import TtlCache


@dataclass(slots=True)
class GpuState:
    uuid: str
    """Empty if the UUID could never be read."""
    name: str
    cache: TtlCache = field(default_factory=TtlCache)
    problem: str | None = None
    since: float | None = None

    def works(self) -> None:
        self.problem = self.since = None

    def fails(self, problem: str, now: float) -> None:
        """Note that the GPU gives no values; `since` stays while the problem is the same."""
        if self.problem != problem:
            self.problem, self.since = problem, now
        self.cache = TtlCache()  # cached values from before the failure may be wrong after it
