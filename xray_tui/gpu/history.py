"""The last minute of every GPU's utilisation. Pure functions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from xray_tui.gpu.snapshot import GpuSnapshot

MINUTE = 60.0
"""Length of the history in seconds."""

CARRIED = 6.0
"""Seconds for which a reading also fills slices without one, because an idle app reads the GPUs less often."""

Reading = tuple[float, int | None]
"""(time in seconds since the epoch, utilisation in % or None if the GPU did not report it)."""

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
            *(reading for reading in history.get(gpu.uuid, ()) if now - MINUTE <= reading[0] < now),
            (now, gpu.utilisation),
        )
        for gpu in snapshot.gpus
        if gpu.uuid
    }


def averages(readings: Sequence[Reading], now: float, count: int) -> list[float | None]:
    """Mean utilisation in % of `count` equal time slices of the minute before `now`, oldest first; None if no data.

    Slices begin at multiples of their length, so that a new reading changes the newest slice only.
    """
    length = MINUTE / count
    newest = math.floor(now / length)
    slices: dict[int, list[int]] = {}
    for time, utilisation in readings:
        if utilisation is not None:
            slices.setdefault(math.floor(time / length), []).append(utilisation)
    means: list[float | None] = []
    carried, carried_from = None, -math.inf
    for index in range(newest - count + 1, newest + 1):
        if index in slices:
            carried, carried_from = sum(slices[index]) / len(slices[index]), index
        means.append(carried if (index - carried_from) * length <= CARRIED else None)
    return means
