"""$CUDA_VISIBLE_DEVICES of the launching shell, which limits the GPUs of the jobs launched from it."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from engine.contract.text import clean
from xray_tui.gpu.host_probe import driver_files
from xray_tui.gpu.snapshot import GpuSample, GpuSnapshot
from xray_tui.system.process import JOB_MARK

VARIABLE = "CUDA_VISIBLE_DEVICES"


@dataclass(frozen=True, slots=True)
class Limit:
    """The GPUs that the shell's value of the variable allows, in order of preference."""

    value: str
    gpus: tuple[GpuSample, ...] = ()
    problem: str | None = None
    """Why the GPUs that the value names are unknown."""

    @property
    def uuids(self) -> tuple[str, ...]:
        return tuple(gpu.uuid for gpu in self.gpus)

    @property
    def words(self) -> str:
        """`CUDA_VISIBLE_DEVICES=2,0 limits jobs to GPU 2, 0`, safe to print."""
        shown = f"{VARIABLE}={clean(shlex.quote(self.value))[:120]}"
        if self.problem is not None:
            return f"{shown} cannot be looked up: {clean(self.problem)}"
        if self.gpus:
            return f"{shown} limits jobs to GPU {', '.join(str(gpu.index) for gpu in self.gpus)}"
        mig = " (jobs use whole GPUs, not MIG devices)" if "MIG-" in self.value else ""
        return f"{shown} leaves jobs no GPU{mig}"


def limit_of_shell(snapshot: Callable[[], GpuSnapshot]) -> Limit | None:
    """The limit for jobs that this process launches; None if the variable is not set. Also None on a machine without a
    GPU, where jobs run on the CPU anyway, and within a job, where the queue has set the variable for that job only."""
    value = os.environ.get(VARIABLE)
    if value is None or JOB_MARK in os.environ:
        return None
    current = snapshot()
    if not current.gpus:
        return Limit(value, problem=current.problem) if current.problem and driver_files().devices else None
    return Limit(value, visible(value, current.gpus))


def visible(value: str, gpus: Sequence[GpuSample]) -> tuple[GpuSample, ...]:
    """The GPUs that CUDA shows for this value of the variable, in its order.

    As in CUDA, entries after the first invalid one are ignored, and a repeated GPU hides all GPUs. A MIG device counts
    as invalid, because jobs use whole GPUs. Indices are those of NVML, as with CUDA_DEVICE_ORDER=PCI_BUS_ID.
    """
    shown: list[GpuSample] = []
    for entry in value.split(","):
        index = re.match(r"\s*0*(\d{1,9})", entry)  # CUDA reads an index as C's strtol does
        gpu = find_gpu(index[1] if index else entry.strip(), gpus)
        if gpu is None:
            break
        if gpu in shown:
            return ()
        shown.append(gpu)
    return tuple(shown)


def find_gpu(name: str, gpus: Sequence[GpuSample]) -> GpuSample | None:
    """The GPU with this index, UUID or UUID prefix; None if no GPU matches, or several do."""
    usable = [gpu for gpu in gpus if gpu.uuid]
    exact = [gpu for gpu in usable if name in (str(gpu.index), gpu.uuid)]
    matches = exact or [gpu for gpu in usable if name.startswith("GPU-") and gpu.uuid.startswith(name)]
    return matches[0] if len(matches) == 1 else None
