"""What the helper remembers about a GPU from one snapshot to the next."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

_EARLY = 0.95
"""Fraction of the interval after which a value expires, because a tick may come a few milliseconds early."""


@dataclass(slots=True)
class GpuState:
    uuid: str
    """Empty if the UUID could never be read."""
    name: str
    problem: str | None = None
    since: float | None = None
    _cached: dict[str, tuple[float, Any]] = field(default_factory=dict)

    def works(self) -> None:
        self.problem = self.since = None

    def fails(self, problem: str, now: float) -> None:
        """Note that the GPU gives no values; `since` stays while the problem is the same."""
        if self.problem != problem:
            self.problem, self.since = problem, now
        self._cached = {}  # cached values from before the failure may be wrong after it

    def cached(self, key: str, every: float, now: float, read: Callable[[], Any]) -> Any:
        """The value of `key`, from `read` if it is older than `every` seconds. Exceptions of `read` are raised."""
        read_at, value = self._cached.get(key, (now - every, None))
        if not 0 <= now - read_at < every * _EARLY:
            value = read()
            self._cached[key] = (now, value)
        return value
