"""Values that are asked at different paces: utilisation every second, a power limit every minute."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

Value = TypeVar("Value")

_EARLY = 0.95
"""A tick that comes a few milliseconds early still counts, or a lane of 2 s would be read every 3 s."""


class Lanes:
    """The last value of each lane of one GPU, and when it was read."""

    def __init__(self) -> None:
        self._read: dict[str, tuple[float, Any]] = {}

    def get(self, lane: str, every: float, now: float, ask: Callable[[], Value]) -> Value:
        """The lane's value, asked anew where it is older than `every` seconds. What `ask` raises passes through."""
        last = self._read.get(lane)
        if last is not None and 0 <= now - last[0] < every * _EARLY:
            value: Value = last[1]
            return value
        value = ask()
        self._read[lane] = (now, value)
        return value
