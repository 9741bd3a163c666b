"""Frozen values of one snapshot of the GPUs, and their JSON form for the helper's pipe.

None, never zero, means that the driver does not report the value. Memory is in bytes, power in watts, clocks in MHz,
times in seconds since the epoch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

NO_ANSWER = "no answer: the driver hangs on this GPU; read again when the call returns; look for Xid in `sudo dmesg`"
"""Problem of a GPU whose call does not return while other GPUs answer."""


@dataclass(frozen=True, slots=True)
class GpuProcess:
    """One process with a context on a GPU."""

    pid: int
    kind: str
    """The type as nvidia-smi shows it: "C", "G", "C+G", "M" or "M+C" (compute, graphics, MPS)."""
    memory: int | None = None
    name: str | None = None
    """Short name; None if the process is not visible (another container, hidepid)."""
    user: str | None = None
    command: str | None = None
    started: float | None = None
    sm: int | None = None
    """Share of the GPU's multiprocessors used in the last seconds, in %."""

    @property
    def computes(self) -> bool:
        """Whether this is a compute process; desktop programs are of type C+G or G."""
        return "G" not in self.kind or "M" in self.kind


@dataclass(frozen=True, slots=True)
class GpuSample:
    """One GPU at one moment."""

    index: int
    uuid: str
    """Empty if the GPU was lost before its UUID could be read."""
    name: str
    utilisation: int | None = None
    """%"""
    memory_used: int | None = None
    memory_total: int | None = None
    temperature: int | None = None
    """°C"""
    power: float | None = None
    power_limit: float | None = None
    """The limit enforced now."""
    fan: int | None = None
    """%; None for a GPU without a fan."""
    sm_clock: int | None = None
    throttle: tuple[str, ...] = ()
    """Reasons for a reduced clock, in words: heat and hardware slowdowns only, not power management."""
    processes: tuple[GpuProcess, ...] | None = None
    """None if the list cannot be read (`processes_problem` says why); empty if no process is on the GPU."""
    processes_problem: str | None = None
    problem: str | None = None
    """Why this GPU gives no values (lost, no permission …), and what to do; all values are then None."""
    since: float | None = None
    """When `problem` was first seen."""
    note: str | None = None
    """Supported values that could not be read, such as "power: Unknown Error"."""
    mig: bool = False
    """Whether the GPU is split into instances (MIG); the driver then reports no utilisation of the whole GPU."""


@dataclass(frozen=True, slots=True)
class GpuSnapshot:
    """All GPUs of this machine at one moment, or the reason why there is no GPU."""

    gpus: tuple[GpuSample, ...] = ()
    problem: str | None = None
    """A sentence that says why there is no GPU and what to do."""
    time: float = 0.0
    driver: str | None = None
    """Version of the driver."""
    stale: str | None = None
    """A sentence that says why there are no values newer than `time` (the driver hangs …)."""

    def age(self, now: float) -> float:
        """Age of the values in seconds, never negative."""
        return max(0.0, now - self.time)


def keep_identity(snapshot: GpuSnapshot, last: GpuSnapshot) -> GpuSnapshot:
    """The snapshot, with UUID, name and `since` from `last` for GPUs that cannot be read now.

    A helper process that was started while a GPU was lost cannot read its name.
    """
    by_uuid = {gpu.uuid: gpu for gpu in last.gpus if gpu.uuid}
    present = {gpu.uuid for gpu in snapshot.gpus if gpu.uuid}
    by_index = {gpu.index: gpu for gpu in last.gpus if gpu.uuid not in present}
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
    """The snapshot as plain values for `json.dumps`."""
    return asdict(snapshot)


def from_json(values: Mapping[str, Any]) -> GpuSnapshot:
    """The snapshot that `to_json` wrote. Raises KeyError, TypeError, ValueError or AttributeError for other values."""
    gpus = tuple(_gpu(gpu) for gpu in values["gpus"])
    return GpuSnapshot(**{**_known(GpuSnapshot, values), "gpus": gpus})


def _gpu(values: Mapping[str, Any]) -> GpuSample:
    processes = values.get("processes")
    if processes is not None:
        processes = tuple(GpuProcess(**_known(GpuProcess, process)) for process in processes)
    throttle = tuple(values.get("throttle") or ())
    return GpuSample(**{**_known(GpuSample, values), "processes": processes, "throttle": throttle})


def _known(kind: type[Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that this version knows; an app that runs during an upgrade may start a newer helper."""
    return {name: value for name, value in values.items() if name in kind.__dataclass_fields__}
