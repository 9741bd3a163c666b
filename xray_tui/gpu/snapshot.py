"""Frozen values of one look at the GPUs, and their way through a pipe as JSON.

None means "the driver does not say", never zero. Memory is in bytes, power in watts, clocks in MHz, times in seconds
since the epoch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any


@dataclass(frozen=True, slots=True)
class GpuProcess:
    """One process that holds a context on a GPU."""

    pid: int
    kind: str
    """As nvidia-smi's column Type: "C", "G", "C+G", "M" or "M+C" (compute, graphics, MPS)."""
    memory: int | None = None
    name: str | None = None
    """Short name; None where the process cannot be seen (another container, hidepid)."""
    user: str | None = None
    command: str | None = None
    started: float | None = None
    sm: int | None = None
    """Share of the GPU's multiprocessors in the last seconds, %."""

    @property
    def computes(self) -> bool:
        """Whether this is CUDA work proper: desktop programs hold C+G or G."""
        return "G" not in self.kind or "M" in self.kind


@dataclass(frozen=True, slots=True)
class GpuSample:
    """One GPU at one moment."""

    index: int
    uuid: str
    """Empty where the GPU has been lost since before we could ask."""
    name: str
    utilisation: int | None = None
    """%"""
    memory_used: int | None = None
    memory_total: int | None = None
    temperature: int | None = None
    """°C"""
    power: float | None = None
    power_limit: float | None = None
    """The limit that is enforced now."""
    fan: int | None = None
    """%; None where there is none."""
    sm_clock: int | None = None
    throttle: tuple[str, ...] = ()
    """Why the clock is held down, in words: only heat and hardware slowdowns, not power management."""
    processes: tuple[GpuProcess, ...] | None = None
    """None: the list cannot be read, and `processes_problem` says why. That is not the same as no process."""
    processes_problem: str | None = None
    problem: str | None = None
    """Why this GPU gives no values (lost, no permission …), with what to do; then all values are None."""
    since: float | None = None
    """When `problem` was first seen."""
    note: str | None = None
    """Values that could not be read although the GPU has them, as "power: Unknown Error"."""
    mig: bool = False
    """Split into instances (MIG is on): then the driver tells no utilisation of the whole GPU."""


@dataclass(frozen=True, slots=True)
class GpuSnapshot:
    """All GPUs of this machine at one moment, or why there is none."""

    gpus: tuple[GpuSample, ...] = ()
    problem: str | None = None
    """Why there are no GPUs: one plain sentence that says what to do."""
    time: float = 0.0
    driver: str | None = None
    stale: str | None = None
    """Why nothing newer than `time` is known (the driver hangs …): one plain sentence."""

    def age(self, now: float) -> float:
        """Seconds since these values were read, never negative."""
        return max(0.0, now - self.time)


def remembering(snapshot: GpuSnapshot, last: GpuSnapshot) -> GpuSnapshot:
    """The snapshot with what `last` knew of GPUs that this one cannot read: their name, and since when.

    A helper process that was started while a GPU was lost has never heard its name.
    """
    by_uuid = {gpu.uuid: gpu for gpu in last.gpus if gpu.uuid}
    here = {gpu.uuid for gpu in snapshot.gpus if gpu.uuid}
    by_index = {gpu.index: gpu for gpu in last.gpus if gpu.uuid not in here}
    gpus = []
    for gpu in snapshot.gpus:
        known = None
        if gpu.problem is not None:
            known = by_uuid.get(gpu.uuid) if gpu.uuid else by_index.get(gpu.index)
        if known is not None:
            since = known.since if known.problem == gpu.problem else gpu.since
            gpu = replace(gpu, uuid=known.uuid, name=known.name, since=since)
        gpus.append(gpu)
    return replace(snapshot, gpus=tuple(gpus))


def to_json(snapshot: GpuSnapshot) -> dict[str, Any]:
    """The snapshot as plain values for `json.dumps`; what is left out has its default."""
    return {**_told(snapshot), "gpus": [_told_gpu(gpu) for gpu in snapshot.gpus]}


def from_json(values: Mapping[str, Any]) -> GpuSnapshot:
    """The snapshot that `to_json` wrote. Raises KeyError, TypeError or ValueError where it is something else."""
    gpus = tuple(_gpu(gpu) for gpu in values["gpus"])
    return GpuSnapshot(**{**_known(GpuSnapshot, values), "gpus": gpus})


def _gpu(values: Mapping[str, Any]) -> GpuSample:
    processes = values.get("processes")
    listed = None if processes is None else tuple(GpuProcess(**_known(GpuProcess, process)) for process in processes)
    throttle = tuple(values.get("throttle") or ())
    return GpuSample(**{**_known(GpuSample, values), "processes": listed, "throttle": throttle})


_DEFAULTS: dict[type[Any], dict[str, Any]] = {
    kind: {field.name: field.default for field in fields(kind)} for kind in (GpuProcess, GpuSample, GpuSnapshot)
}


def _told(values: Any) -> dict[str, Any]:
    """The fields that say something. Much quicker than `asdict`, which copies, and short lines are quick to read."""
    defaults = _DEFAULTS[type(values)].items()
    return {name: value for name, default in defaults if (value := getattr(values, name)) != default}


def _told_gpu(gpu: GpuSample) -> dict[str, Any]:
    told = _told(gpu)
    if gpu.processes is not None:
        told["processes"] = [_told(process) for process in gpu.processes]
    return told


def _known(kind: type[Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Only the fields this version knows: an app that runs through an upgrade starts a newer helper."""
    defaults = _DEFAULTS[kind]
    return {name: value for name, value in values.items() if name in defaults}
