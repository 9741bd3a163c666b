"""$CUDA_VISIBLE_DEVICES of the launching shell: it limits the GPUs that jobs launched there may take."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from engine.contract.text import clean
from xray_tui.gpu.host_probe import this_machine
from xray_tui.gpu.snapshot import GpuSample, GpuSnapshot
from xray_tui.system.process import JOB_MARK

VARIABLE = "CUDA_VISIBLE_DEVICES"


@dataclass(frozen=True, slots=True)
class Limit:
    """The GPUs that the shell's value leaves to its jobs, the preferred one first."""

    value: str
    gpus: tuple[GpuSample, ...] = ()
    problem: str | None = None
    """Why the GPUs of the value cannot be looked up."""

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
        mig = " (a job gets whole GPUs, no MIG device)" if "MIG-" in self.value else ""
        return f"{shown} leaves jobs no GPU{mig}"


def limit_of_shell(snapshot: Callable[[], GpuSnapshot]) -> Limit | None:
    """The limit for jobs that this process launches; None where the variable is not set.

    Also None where the machine has no GPU, so that jobs run on the CPU as without the variable, and within a job: there
    the queue has set the variable, for that job alone.
    """
    value = os.environ.get(VARIABLE)
    if value is None or JOB_MARK in os.environ:
        return None
    seen = snapshot()
    if not seen.gpus:
        return Limit(value, problem=seen.problem) if seen.problem and this_machine().devices else None
    return Limit(value, visible(value, seen.gpus))


def visible(value: str, gpus: Sequence[GpuSample]) -> tuple[GpuSample, ...]:
    """The GPUs that CUDA shows for this value of the variable, in its order.

    As in CUDA, entries after the first invalid one do not count, and a repeated GPU hides all. A MIG device counts as
    invalid: a job gets whole GPUs. An index is NVML's, which is CUDA's with CUDA_DEVICE_ORDER=PCI_BUS_ID; CUDA's
    default, FASTEST_FIRST, differs only where GPUs of several kinds are mixed, and only CUDA knows that order.
    """
    found: list[GpuSample] = []
    for entry in value.split(","):
        index = re.match(r"\s*0*(\d{1,9})", entry)  # CUDA reads an index as C's strtol does
        gpu = find_gpu(index[1] if index else entry.strip(), gpus)
        if gpu is None:
            break
        if gpu in found:
            return ()
        found.append(gpu)
    return tuple(found)


def find_gpu(name: str, gpus: Sequence[GpuSample]) -> GpuSample | None:
    """The GPU of this index, UUID or beginning of a UUID; None where no GPU fits, or several do."""
    known = [gpu for gpu in gpus if gpu.uuid]
    exact = [gpu for gpu in known if name in (str(gpu.index), gpu.uuid)]
    found = exact or [gpu for gpu in known if name.startswith("GPU-") and gpu.uuid.startswith(name)]
    return found[0] if len(found) == 1 else None
