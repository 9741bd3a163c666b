"""Decides whether a GPU is in use although no listed process or job explains it. For strip, doctor, export and queue.

In a container without the host's pid namespace NVML lists no processes, so memory and utilisation decide. Intermittent
work shows only in some samples, and a single peak means nothing, so a GPU is in use if two of three samples over 10 s
show unexplained use. A GPU is free if no sample shows any, even if there is only one sample. Pure functions.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple

from engine.contract.units import GIB, size
from xray_tui.gpu.snapshot import GpuSample, GpuSnapshot

MEMORY = GIB
"""Bytes that may be unexplained: an idle driver and a display use a few hundred MiB, a training uses more than this."""
UNLISTED_MEMORY = 2 << 30
"""Bytes that may be unexplained if processes cannot be listed, because then those of a desktop are unexplained too."""
UTILISATION = 25
"""% that may be unexplained: an unlisted desktop stays below this. Lighter work is detected by its memory."""
SAMPLES, NEEDED = 3, 2
APART = 4.0
"""Minimum seconds between two samples that count; a waiting job samples every 4 to 6 s, the app every second."""
WINDOW = 15.0
"""Seconds for which a sample counts: long enough for three samples of a waiting job."""


class Use(StrEnum):
    FREE = "free"
    PERHAPS = "perhaps used"
    """Too few samples to decide; no job gets the GPU until there are more."""
    IN_USE = "in use"
    UNKNOWN = "unknown"
    """The GPU reports too few values to decide."""


class UnexplainedUse(NamedTuple):
    """The unexplained use in one sample of a GPU."""

    time: float
    memory: int = 0
    """Bytes in use beyond those of the listed processes."""
    utilisation: int = 0
    """% beyond the shares of the listed processes."""


RecentUse = Mapping[str, tuple[UnexplainedUse, ...]]
"""The samples of the last WINDOW seconds by GPU UUID, the oldest first."""


def extended(samples: RecentUse, snapshot: GpuSnapshot, held: Collection[str] = ()) -> RecentUse:
    """The samples with those of this snapshot added. Use of the GPUs in `held` (UUIDs) is explained by their jobs."""
    now = snapshot.time
    if snapshot.stale is not None:
        return samples
    return {
        gpu.uuid: (
            *(sample for sample in samples.get(gpu.uuid, ()) if now - WINDOW <= sample.time < now),
            UnexplainedUse(now) if gpu.uuid in held else unexplained_use(gpu, now),
        )
        for gpu in snapshot.gpus
        if gpu.uuid and gpu.problem is None
    }


def unexplained_use(gpu: GpuSample, time: float = 0.0) -> UnexplainedUse:
    """The unexplained use in this sample. A listed process that does not report its use is assumed to use as much as
    may be unexplained."""
    listed = gpu.processes or ()
    memory = sum(MEMORY if process.memory is None else process.memory for process in listed)
    share = sum(UTILISATION if process.sm is None else process.sm for process in listed)
    return UnexplainedUse(time, max(0, (gpu.memory_used or 0) - memory), max(0, (gpu.utilisation or 0) - share))


def judge(
    gpu: GpuSample, samples: Sequence[UnexplainedUse] = (), unlisted_memory: int = UNLISTED_MEMORY
) -> tuple[Use, str]:
    """(use, use in words) of a GPU without a listed compute process and without a job. `samples` are its recent samples
    including this one; if empty, `gpu` alone is judged."""
    if gpu.memory_used is None and (gpu.utilisation is None or gpu.processes is None):
        missing = "utilisation" if gpu.utilisation is None else "processes"
        return Use.UNKNOWN, f"unknown: it reports neither memory nor {missing}"
    memory = unlisted_memory if gpu.processes is None else MEMORY
    recent = _apart(samples or (unexplained_use(gpu),))
    odd = [sample for sample in recent if sample.memory > memory or sample.utilisation > UTILISATION]
    if not odd or (len(odd) < NEEDED and len(recent) == SAMPLES and recent[0] not in odd):
        return Use.FREE, "free"
    use = Use.IN_USE if len(odd) >= NEEDED else Use.PERHAPS
    if use is Use.PERHAPS and gpu.processes is None:
        return use, f"{use}: its processes cannot be listed"
    holder = "processes that cannot be listed" if gpu.processes is None else "no listed process"
    return use, f"{use}: {_figures(odd[0], memory)} of {holder}"


def _apart(samples: Sequence[UnexplainedUse]) -> list[UnexplainedUse]:
    """The last SAMPLES samples that are at least APART seconds apart, the newest first."""
    apart: list[UnexplainedUse] = []
    for sample in reversed(samples):
        if not apart or apart[-1].time - sample.time >= APART:
            apart.append(sample)
    return apart[:SAMPLES]


def _figures(sample: UnexplainedUse, memory: int) -> str:
    figures = [size(sample.memory)] if sample.memory > memory else []
    figures += [f"{sample.utilisation} % utilisation"] if sample.utilisation > UTILISATION else []
    return " and ".join(figures)
