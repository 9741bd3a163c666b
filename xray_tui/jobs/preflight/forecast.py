"""The GPUs that a new job may take, and which of them are free now."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from xray_tui.gpu.snapshot import GpuSample, GpuSnapshot
from xray_tui.jobs.locks.lock_dir import existing_lease_dir
from xray_tui.jobs.model.gpu_policy import GpuPolicy
from xray_tui.jobs.model.job import JobSpec
from xray_tui.jobs.queue.allocation import obstacle
from xray_tui.jobs.queue.availability import leased


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Where a job would run."""

    runs: Path
    snapshot: GpuSnapshot = GpuSnapshot()  # noqa: RUF009 - frozen
    terms: GpuPolicy = GpuPolicy()  # noqa: RUF009 - frozen
    lease_dir: Path | str | None = None
    """Lease folder of the settings."""


def gpu_count(spec: JobSpec, place: Surroundings) -> int:
    """Number of GPUs that the job takes; 0 for a job on the CPU."""
    gpus = _wanted(spec, place)
    return spec.gpu_count if gpus and spec.gpu == "auto" else len(gpus)


def free_of(spec: JobSpec, place: Surroundings) -> tuple[list[GpuSample], list[str]]:
    """(the GPUs that the job may take, the UUIDs of the free GPUs among them)."""
    wanted = _wanted(spec, place)
    gpus = [gpu for gpu in place.snapshot.gpus if gpu.uuid in wanted]
    taken = leased((gpu.uuid for gpu in gpus), existing_lease_dir(place.lease_dir))
    return gpus, [gpu.uuid for gpu in gpus if gpu.uuid and obstacle(gpu, taken, place.terms) is None]


def _wanted(spec: JobSpec, place: Surroundings) -> tuple[str, ...]:
    """UUIDs of the GPUs that the job may take; empty for a job on the CPU."""
    if spec.gpu == "none":
        return ()
    gpus = place.snapshot.gpus
    by_index = {str(gpu.index): gpu.uuid for gpu in gpus}
    names = spec.gpu.split(",") if spec.gpu != "auto" else place.terms.allowed
    return tuple(by_index.get(name, name) for name in names) or tuple(gpu.uuid for gpu in gpus if gpu.uuid)
