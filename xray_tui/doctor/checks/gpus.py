"""The driver and the GPUs, as NVML reports them."""

from __future__ import annotations

import time
from collections.abc import Collection

from engine.contract.text import clean
from xray_tui.doctor.findings import Context, Finding, bad, ok, unknown, warn
from xray_tui.gpu.host_probe import pci_gpus
from xray_tui.gpu.in_use import RecentUse, Use, extended, judge
from xray_tui.gpu.sampler import sample_once
from xray_tui.gpu.snapshot import GpuSample, GpuSnapshot
from xray_tui.jobs.locks.lock_dir import existing_lock_dir
from xray_tui.jobs.queue.availability import held_gpus
from xray_tui.jobs.queue.visible_gpus import limit_of_shell

TIMEOUT = 20.0
"""Seconds for the first sample."""
SAMPLE_EVERY, SAMPLES = 5.0, 3
"""Seconds between two samples, and their number, if the first sample shows unexplained use."""


def gpus(context: Context) -> list[Finding]:
    """The driver, and each GPU that has a problem or is in use without a listed process or a job."""
    snapshot = sample_once(TIMEOUT)
    findings = [*judge_gpus(snapshot, len(pci_gpus(context.root))), *visible_gpus(snapshot)]
    held = held_gpus((gpu.uuid for gpu in snapshot.gpus), existing_lock_dir(context.settings.lease_dir))
    samples = extended({}, snapshot, held)
    for _ in range(SAMPLES - 1):
        if not any(use is Use.PERHAPS for _, use, _ in _uses(snapshot, samples, held)):
            break
        time.sleep(SAMPLE_EVERY)
        snapshot = sample_once(SAMPLE_EVERY)
        samples = extended(samples, snapshot, held)
    return [*findings, *judge_use(snapshot, samples, held)]


def visible_gpus(snapshot: GpuSnapshot) -> list[Finding]:
    """The GPUs to which $CUDA_VISIBLE_DEVICES limits jobs launched from this shell; empty if it is not set."""
    limit = limit_of_shell(lambda: snapshot)
    if limit is None or limit.gpus:
        return [] if limit is None else [ok("visible GPUs", limit.words)]
    return [warn("visible GPUs", limit.words, "unset it, or launch with --gpu none")]


def judge_use(snapshot: GpuSnapshot, samples: RecentUse, held: Collection[str]) -> list[Finding]:
    """The GPUs that a job with gpu auto does not get although no process is listed on them. `held` are the UUIDs of the
    GPUs that jobs use."""
    findings = []
    for gpu, use, words in _uses(snapshot, samples, held):
        if use is Use.UNKNOWN:
            remedy = f"--gpu {gpu.index} takes it; gpu auto only with foreign: share in the settings"
            findings.append(unknown(f"GPU {gpu.index}", words.removeprefix("unknown: "), remedy))
        elif use is not Use.FREE:
            remedy = "gpu auto waits for it; a container started with --pid=host lists the processes"
            findings.append(warn(f"GPU {gpu.index}", words, remedy))
    return findings


def _uses(snapshot: GpuSnapshot, samples: RecentUse, held: Collection[str]) -> list[tuple[GpuSample, Use, str]]:
    """(GPU, use, use in words) of the working GPUs without a job and without a listed compute process."""
    return [
        (gpu, *judge(gpu, samples.get(gpu.uuid, ())))
        for gpu in snapshot.gpus
        if gpu.problem is None and gpu.uuid not in held and not any(process.computes for process in gpu.processes or ())
    ]


def judge_gpus(snapshot: GpuSnapshot, installed: int) -> list[Finding]:
    """The GPUs that the driver shows. `installed` is the number of NVIDIA GPUs on the PCI bus."""
    if not snapshot.gpus:
        problem = clean(snapshot.problem or snapshot.stale or "the driver shows no GPU")
        if installed:
            shown = f"{installed} NVIDIA GPU{' is' if installed == 1 else 's are'} installed, but: {problem}"
            return [bad("driver", shown, "until that is fixed jobs run on the CPU only, with --gpu none")]
        return [warn("driver", problem, "launch with --gpu none; the board works without a GPU")]
    count = len(snapshot.gpus)
    names = ", ".join(dict.fromkeys(clean(gpu.name) for gpu in snapshot.gpus if gpu.name))
    findings = [ok("driver", f"NVIDIA {clean(snapshot.driver or '?')}, NVML answers: {count} × {names}")]
    if installed > count:
        missing = f"{installed} NVIDIA GPUs are installed, but the driver shows {count}"
        remedy = "look for a lost GPU: `sudo dmesg | grep -i xid`; a container may hide some"
        findings.append(warn("gpus", missing, remedy))
    for gpu in snapshot.gpus:
        name = f"GPU {gpu.index}"
        if gpu.problem is not None:
            findings.append(bad(name, clean(gpu.problem), "no job gets it until that is fixed"))
        elif gpu.processes_problem is not None:
            reason = f"its processes: {clean(gpu.processes_problem)}"
            findings.append(unknown(name, reason, "memory and utilisation decide if it is free"))
        elif gpu.mig:
            remedy = "a job takes the whole GPU, but CUDA uses one instance"
            findings.append(warn(name, "is split into instances (MIG)", remedy))
    if snapshot.stale is not None:
        findings.append(bad("driver", clean(snapshot.stale), "look for Xid in `sudo dmesg`; a restart may be needed"))
    return findings
