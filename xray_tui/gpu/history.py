"""The last minute of every GPU's utilisation, memory and power. Pure functions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from xray_tui.gpu.snapshot import GpuSnapshot

MINUTE = 60.0
"""Length of the history in seconds."""

CARRIED = 6.0
"""Seconds for which a reading also fills slices without one, because an idle app reads the GPUs less often."""

Figure = Literal["utilisation", "memory", "power"]


class Reading(NamedTuple):
    """Figures in % of their maximum at one time; None if the GPU did not report a figure."""

    time: float
    """In seconds since the epoch."""
    utilisation: float | None
    memory: float | None = None
    power: float | None = None


History = Mapping[str, tuple[Reading, ...]]
"""Readings of the last minute by GPU UUID, the oldest first."""


def extended(history: History, snapshot: GpuSnapshot) -> History:
    """The history with this snapshot added. A stale snapshot adds nothing; a clock that is set back or far forward
    empties the history."""
    if snapshot.stale is not None or not snapshot.gpus:
        return history
    now = snapshot.time
    return {
        gpu.uuid: (
            *(reading for reading in history.get(gpu.uuid, ()) if now - MINUTE <= reading.time < now),
            Reading(
                now, gpu.utilisation, _share(gpu.memory_used, gpu.memory_total), _share(gpu.power, gpu.power_limit)
            ),
        )
        for gpu in snapshot.gpus
        if gpu.uuid
    }


def _share(value: float | None, maximum: float | None) -> float | None:
    return min(100.0, 100 * value / maximum) if value is not None and maximum else None


def averages(readings: Sequence[Reading], now: float, count: int, figure: Figure = "utilisation") -> list[float | None]:
    """Mean of a figure in % in `count` equal time slices of the minute before `now`, oldest first; None if no data.

    Slices begin at multiples of their length, so that a new reading changes the newest slice only.
    """
    length = MINUTE / count
    newest = math.floor(now / length)
    slices: dict[int, list[float]] = {}
    for reading in readings:
        if (value := getattr(reading, figure)) is not None:
            slices.setdefault(math.floor(reading.time / length), []).append(value)
    means: list[float | None] = []
    carried, carried_from = None, -math.inf
    for index in range(newest - count + 1, newest + 1):
        if index in slices:
            carried, carried_from = sum(slices[index]) / len(slices[index]), index
        means.append(carried if (index - carried_from) * length <= CARRIED else None)
    return means
