"""The last minute of every GPU's utilisation, as a value that grows look by look. Pure functions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from xray_tui.gpu.snapshot import GpuSnapshot

MINUTE = 60.0
"""Seconds that are kept."""

CARRIED = 6.0
"""Seconds for which a reading stands where there is none: GPUs that nobody looks at are read more rarely."""

Reading = tuple[float, int | None]
"""When it was read, in seconds since the epoch, and the utilisation in %; None where the GPU did not say."""

History = Mapping[str, tuple[Reading, ...]]
"""Readings of the last minute by the GPU's UUID, the oldest first."""


def extended(history: History, snapshot: GpuSnapshot) -> History:
    """The history with this look. Old values that are shown once more add nothing, and a clock that is set back or
    far forward starts a new minute."""
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
    """The minute up to `now` as `count` means of equal slices of time, the oldest first; None where nothing is known.

    Slices begin at multiples of their length, so that from one look to the next only the newest changes.
    """
    length = MINUTE / count
    newest = math.floor(now / length)
    sums: dict[int, tuple[float, int]] = {}
    for time, utilisation in readings:
        place = math.floor(time / length)
        if utilisation is not None and newest - count < place <= newest:
            total, number = sums.get(place, (0.0, 0))
            sums[place] = total + utilisation, number + 1
    means: list[float | None] = []
    carried, carried_from = None, -math.inf
    for place in range(newest - count + 1, newest + 1):
        if place in sums:
            total, number = sums[place]
            carried, carried_from = total / number, place
        means.append(carried if (place - carried_from) * length <= CARRIED else None)
    return means
