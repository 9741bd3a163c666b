"""A cache for values that are read at different intervals: utilisation every second, a power limit every minute."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

Value = TypeVar("Value")

_EARLY = 0.95
"""Fraction of the interval after which a value expires, because a tick may come a few milliseconds early."""


class TtlCache:
    """The last value of each key, with the time when it was read."""

    def __init__(self) -> None:
        self._cached: dict[str, tuple[float, Any]] = {}

    def get(self, key: str, every: float, now: float, read: Callable[[], Value]) -> Value:
        """The value of `key`, from `read` if it is older than `every` seconds. Exceptions of `read` are raised."""
        cached = self._cached.get(key)
        if cached is not None and 0 <= now - cached[0] < every * _EARLY:
            value: Value = cached[1]
            return value
        value = read()
        self._cached[key] = (now, value)
        return value
