"""Driver and GPUs, as NVML tells of them."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence

from engine.contract.text import clean
from xray_tui.doctor.context import Patient
from xray_tui.doctor.report import Finding, bad, ok, unknown, warn
from xray_tui.gpu.host_probe import pci_gpus
from xray_tui.gpu.in_use import Looks, Use, extended, judge
from xray_tui.gpu.sampler import sample_once
from xray_tui.gpu.snapshot import GpuSample, GpuSnapshot
from xray_tui.jobs.locks.lock_dir import existing_lease_dir
from xray_tui.jobs.queue.availability import leased
from xray_tui.jobs.queue.visible_gpus import limit_of_shell

PATIENCE = 20.0
SAMPLE_EVERY, SAMPLES = 5.0, 3
"""Seconds between two samples where the first shows memory or utilisation that nothing explains, and how many."""


def gpus(patient: Patient) -> list[Finding]:
    """The driver, and each GPU with which something is wrong, or that is in use without a process or a job."""
    snapshot = sample_once(PATIENCE)
    found = [*judge_gpus(snapshot, len(pci_gpus(patient.root))), *visible_gpus(snapshot)]
    held = leased((gpu.uuid for gpu in snapshot.gpus), existing_lease_dir(patient.settings.lease_dir))
    looks = extended({}, snapshot, held)
    for _ in range(SAMPLES - 1):
        if not any(use is Use.PERHAPS for _, use, _ in _uses(snapshot, looks, held)):
            break
        time.sleep(SAMPLE_EVERY)
        snapshot = sample_once(SAMPLE_EVERY)
        looks = extended(looks, snapshot, held)
    return [*found, *judge_use(snapshot, looks, held)]


def visible_gpus(snapshot: GpuSnapshot) -> list[Finding]:
    """What $CUDA_VISIBLE_DEVICES leaves to jobs that are launched from this shell, where it is set."""
    limit = limit_of_shell(lambda: snapshot)
    if limit is None:
        return []
    if limit.gpus:
        return [ok("visible GPUs", limit.words)]
    return [warn("visible GPUs", limit.words, "unset it, or launch with --gpu none")]


def judge_use(snapshot: GpuSnapshot, looks: Looks, held: Collection[str]) -> list[Finding]:
    """The GPUs that the queue does not give to a job with gpu auto although no process is listed there. `held` are the
    UUIDs of those that jobs have."""
    found = []
    for gpu, use, words in _uses(snapshot, looks, held):
        if use is Use.UNKNOWN:
            remedy = f"--gpu {gpu.index} takes it; gpu auto only with foreign: share in the settings"
            found.append(unknown(f"GPU {gpu.index}", words.removeprefix("unknown: "), remedy))
        elif use is not Use.FREE:
            remedy = "gpu auto waits for it; a container started with --pid=host lists the processes"
            found.append(warn(f"GPU {gpu.index}", words, remedy))
    return found


def _uses(snapshot: GpuSnapshot, looks: Looks, held: Collection[str]) -> list[tuple[GpuSample, Use, str]]:
    """The GPUs that work and that no job and no listed process computes on, with their use in words."""
    return [
        (gpu, *judge(gpu, looks.get(gpu.uuid, ())))
        for gpu in snapshot.gpus
        if gpu.problem is None and gpu.uuid not in held and not any(each.computes for each in gpu.processes or ())
    ]


def judge_gpus(snapshot: GpuSnapshot, plugged: int) -> list[Finding]:
    """What the driver shows, against the number of NVIDIA GPUs on the PCI bus."""
    if not snapshot.gpus:
        problem = clean(snapshot.problem or snapshot.stale or "the driver shows no GPU")
        if plugged:
            there = f"{plugged} NVIDIA GPU{' is' if plugged == 1 else 's are'} plugged in, but: {problem}"
            return [bad("driver", there, "until that is put right jobs run on the CPU only, with --gpu none")]
        return [warn("driver", problem, "without a GPU launch with --gpu none; the board needs none")]
    count = len(snapshot.gpus)
    names = ", ".join(dict.fromkeys(clean(gpu.name) for gpu in snapshot.gpus if gpu.name))
    found = [ok("driver", f"NVIDIA {clean(snapshot.driver or '?')}, NVML answers: {count} × {names}")]
    if plugged > count:
        missing = f"{plugged} NVIDIA GPUs are plugged in, the driver shows {count}"
        found.append(warn("gpus", missing, "`sudo dmesg | grep -i xid` tells of a lost one; a container may hide some"))
    for gpu in snapshot.gpus:
        found += _judge_one(gpu)
    if snapshot.stale is not None:
        found.append(bad("driver", clean(snapshot.stale), "look for Xid in `sudo dmesg`; a restart may be needed"))
    return found


def _judge_one(gpu: GpuSample) -> Sequence[Finding]:
    name = f"GPU {gpu.index}"
    if gpu.problem is not None:
        return [bad(name, clean(gpu.problem), "until then no job gets it")]
    if gpu.processes_problem is not None:
        return [
            unknown(
                name, f"its processes: {clean(gpu.processes_problem)}", "memory and utilisation decide if it is free"
            )
        ]
    if gpu.mig:
        return [warn(name, "is split into instances (MIG)", "a job takes it as a whole: CUDA gives it one instance")]
    return []
