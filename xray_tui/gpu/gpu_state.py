"""What the helper remembers about a GPU from one snapshot to the next."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

_EARLY = 0.95
"""Fraction of the interval after which a value expires, because a tick may come a few milliseconds early."""


class GpuState:
    """The GPU's UUID, its name, and values that are read less often than once a snapshot."""

    def __init__(self, uuid: str, name: str) -> None:
        """`uuid` is empty if it could never be read."""
        self.uuid = uuid
        self.name = name
        self._cached: dict[str, tuple[float, Any]] = {}

    def cached(self, key: str, every: float, now: float, read: Callable[[], Any]) -> Any:
        """The value of `key`, from `read` if it is older than `every` seconds. Exceptions of `read` are raised."""
        read_at, value = self._cached.get(key, (now - every, None))
        if not 0 <= now - read_at < every * _EARLY:
            value = read()
            self._cached[key] = (now, value)
        return value
