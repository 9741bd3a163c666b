"""Whether a GPU is in use although no listed process and no job explains it: the rule of strip, doctor, export, queue.

In a container without the host's pid namespace NVML lists no process, so memory and utilisation have to tell. Work that
comes and goes shows in some samples only, and a single peak means nothing: two of three samples over 10 s decide. A GPU
whose samples show nothing, even if there is only one, is free at once. Pure functions.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple

from engine.contract.units import GIB, size
from xray_tui.gpu.snapshot import GpuSample, GpuSnapshot

MEMORY = GIB
"""Bytes that may be unexplained: an idle driver and a display hold some hundred MiB, a training more than this."""
UNLISTED_MEMORY = 2 << 30
"""The same where processes cannot be listed: those of a desktop count as unexplained there."""
UTILISATION = 25
"""% that may be unexplained: a desktop that is not listed stays below. Lighter work is found by its memory."""
SAMPLES, NEEDED = 3, 2
APART = 4.0
"""Least seconds between two samples that count: a waiting job samples every 4 to 6 s, the app every second."""
WINDOW = 15.0
"""Seconds for which a sample counts: long enough for three of a waiting job."""


class Use(StrEnum):
    """What the samples of a GPU mean."""

    FREE = "free"
    PERHAPS = "perhaps used"
    """Too few samples to tell; it is not given to a job until there are more."""
    IN_USE = "in use"
    UNKNOWN = "unknown"
    """The GPU reports nothing that could tell."""


class Look(NamedTuple):
    """What one sample of a GPU leaves unexplained."""

    time: float
    memory: int = 0
    """Bytes in use that no listed process holds."""
    utilisation: int = 0
    """% that no listed process causes."""


Looks = Mapping[str, tuple[Look, ...]]
"""The looks of the last WINDOW seconds by the GPU's UUID, the oldest first."""


def extended(looks: Looks, snapshot: GpuSnapshot, held: Collection[str] = ()) -> Looks:
    """The looks with those of this snapshot. What is in use on the GPUs in `held` (UUIDs) is their jobs'."""
    now = snapshot.time
    if snapshot.stale is not None:
        return looks
    return {
        gpu.uuid: (
            *(look for look in looks.get(gpu.uuid, ()) if now - WINDOW <= look.time < now),
            Look(now) if gpu.uuid in held else look_at(gpu, now),
        )
        for gpu in snapshot.gpus
        if gpu.uuid and gpu.problem is None
    }


def look_at(gpu: GpuSample, time: float = 0.0) -> Look:
    """What the sample leaves unexplained. A process that does not report its share may have as much as is allowed."""
    listed = gpu.processes or ()
    held = sum(MEMORY if process.memory is None else process.memory for process in listed)
    caused = sum(UTILISATION if process.sm is None else process.sm for process in listed)
    return Look(time, max(0, (gpu.memory_used or 0) - held), max(0, (gpu.utilisation or 0) - caused))


def judge(gpu: GpuSample, looks: Sequence[Look] = (), unlisted_memory: int = UNLISTED_MEMORY) -> tuple[Use, str]:
    """(the use of a GPU without a compute process or a job, the same in words). `looks` are its last ones, with that of
    this sample; without any, the sample alone is judged."""
    if gpu.memory_used is None and (gpu.utilisation is None or gpu.processes is None):
        missing = "utilisation" if gpu.utilisation is None else "processes"
        return Use.UNKNOWN, f"unknown: it reports neither memory nor {missing}"
    memory = unlisted_memory if gpu.processes is None else MEMORY
    last = _apart(looks or (look_at(gpu),))
    odd = [look for look in last if look.memory > memory or look.utilisation > UTILISATION]
    if not odd or (len(odd) < NEEDED and len(last) == SAMPLES and last[0] not in odd):
        return Use.FREE, "free"
    use = Use.IN_USE if len(odd) >= NEEDED else Use.PERHAPS
    if use is Use.PERHAPS and gpu.processes is None:
        return use, f"{use}: its processes cannot be listed"
    whose = "processes that cannot be listed" if gpu.processes is None else "no listed process"
    return use, f"{use}: {_figures(odd[0], memory)} of {whose}"


def _apart(looks: Sequence[Look]) -> list[Look]:
    """The last looks that are far enough apart, the newest first."""
    found: list[Look] = []
    for look in reversed(looks):
        if not found or found[-1].time - look.time >= APART:
            found.append(look)
    return found[:SAMPLES]


def _figures(look: Look, memory: int) -> str:
    figures = [f"{size(look.memory)}"] if look.memory > memory else []
    figures += [f"{look.utilisation} % utilisation"] if look.utilisation > UTILISATION else []
    return " and ".join(figures)
