"""Driver and GPUs, as NVML tells of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from engine.contract.text import clean
from xray_tui.doctor.finding import Finding, bad, ok, unknown, warn
from xray_tui.doctor.patient import Patient
from xray_tui.gpu.sample import GpuSample, GpuSnapshot
from xray_tui.gpu.sampler import sample_once

PATIENCE = 20.0
_NVIDIA, _DISPLAY = "0x10de", "0x03"
"""In /sys: the vendor's number, and how the class of everything that computes or draws begins."""


def gpus(patient: Patient) -> list[Finding]:
    """The driver, and each GPU with which something is wrong."""
    return judge_gpus(sample_once(PATIENCE), plugged_in(patient.root))


def plugged_in(root: Path) -> int | None:
    """How many GPUs of NVIDIA's are in this machine, by the PCI bus; None where that shows nothing."""
    try:
        devices = list((root / "sys/bus/pci/devices").iterdir())
    except OSError:
        return None
    return sum(_reads(device / "vendor", _NVIDIA) and _reads(device / "class", _DISPLAY) for device in devices)


def judge_gpus(snapshot: GpuSnapshot, plugged: int | None) -> list[Finding]:
    """What a look at the GPUs says beside the number of those that are plugged in."""
    if not snapshot.gpus:
        problem = clean(snapshot.problem or snapshot.stale or "the driver shows no GPU")
        if plugged:
            there = f"{plugged} NVIDIA GPU{' is' if plugged == 1 else 's are'} plugged in, but: {problem}"
            return [bad("driver", there, "until that is put right jobs run on the CPU only, with --gpu none")]
        return [warn("driver", problem, "without a GPU launch with --gpu none; the board needs none")]
    count = len(snapshot.gpus)
    names = ", ".join(dict.fromkeys(clean(gpu.name) for gpu in snapshot.gpus if gpu.name))
    found = [ok("driver", f"NVIDIA {clean(snapshot.driver or '?')}, NVML answers: {count} × {names}")]
    if plugged is not None and plugged > count:
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
        return [unknown(name, f"its processes: {clean(gpu.processes_problem)}", "its memory decides if it is free")]
    if gpu.mig:
        return [warn(name, "is split into instances (MIG)", "a job takes it as a whole: CUDA gives it one instance")]
    return []


def _reads(path: Path, beginning: str) -> bool:
    try:
        return path.read_text().startswith(beginning)
    except OSError:
        return False
