"""The torch build and its CUDA, asked in a process of its own: the app never imports torch, and a driver may hang."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

from engine.contract.text import clean
from xray_tui.doctor.context import Patient
from xray_tui.doctor.report import Finding, bad, ok, unknown, warn
from xray_tui.gpu.host_probe import pci_gpus

PATIENCE = 120.0
"""Seconds: an import from a cold network file system takes its time."""

BUILDS = "https://pytorch.org/get-started/locally"

_QUESTION = """
import json, sys
told = {}
try:
    import torch
    told |= {"version": torch.__version__, "cuda": torch.version.cuda, "hip": torch.version.hip}
    try:
        torch.cuda.init()
        told["archs"] = torch.cuda.get_arch_list()
        told["gpus"] = ["%s sm_%d%d" % (torch.cuda.get_device_name(i), *torch.cuda.get_device_capability(i))
                        for i in range(torch.cuda.device_count())]
    except Exception as error:
        told["problem"] = str(error)
except BaseException as error:
    told["import"] = type(error).__name__ + ": " + str(error)
print("\\n" + json.dumps(told))
"""


def torch_build(patient: Patient) -> list[Finding]:
    """Whether torch can be imported, for which CUDA it was built, and whether it sees the GPUs."""
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-c", _QUESTION],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=PATIENCE,
            check=False,
            errors="replace",
        )
    except subprocess.TimeoutExpired:
        return [unknown("torch", f"`import torch` did not answer within {PATIENCE:g} s")]
    except OSError as error:
        return [unknown("torch", f"{clean(sys.executable)}: {error.strerror}")]
    try:
        told = json.loads(done.stdout.rstrip().rpartition("\n")[2])
    except ValueError:
        return [bad("torch", f"`import torch` ended with {done.returncode}", f"install it anew: {BUILDS}")]
    return judge_torch(told, len(pci_gpus(patient.root)), os.environ.get("CUDA_VISIBLE_DEVICES"))


def judge_torch(told: Mapping[str, Any], plugged: int, visible: str | None) -> list[Finding]:
    """What torch said of itself, beside the number of GPUs that are plugged in and $CUDA_VISIBLE_DEVICES."""
    if (problem := told.get("import")) is not None:
        if "No module named 'torch'" in problem:
            return [bad("torch", "not installed", "pip install 'xray-tui[engine]'; without it nothing can be launched")]
        return [bad("torch", f"cannot be imported: {clean(problem)[:200]}", f"install it anew: {BUILDS}")]
    version, cuda = clean(str(told["version"])), told.get("cuda")
    if cuda is None:
        build = f"{version}, built {'for ROCm' if told.get('hip') else 'without CUDA'}"
        if plugged:
            return [bad("torch", f"{build}: a training would run on the CPU", f"install a CUDA build: {BUILDS}")]
        return [ok("torch", build)]
    build = f"{version}, built for CUDA {clean(str(cuda))}"
    sees = told.get("gpus") or []
    if not sees:
        hidden = f" (CUDA_VISIBLE_DEVICES={clean(visible)!r} hides GPUs)" if visible is not None else ""
        why = clean(str(told.get("problem") or "no GPU"))[:200]
        if plugged:
            return [bad("torch", f"{build}, sees no GPU: {why}{hidden}",
                        f"the driver has to be as new as the build's CUDA: {BUILDS}")]  # fmt: skip
        return [ok("torch", f"{build}, sees no GPU{hidden}")]
    found = f"{build}, sees {len(sees)} GPU{'' if len(sees) == 1 else 's'}"
    archs = told.get("archs") or []
    lacking = sorted({clean(gpu) for gpu in sees if archs and not _runs_on(gpu.rpartition(" sm_")[2], archs)})
    if lacking:
        return [bad("torch", f"{found}, but has no kernels for {', '.join(lacking)}",
                    f"install a build that has them: {BUILDS}")]  # fmt: skip
    if visible is not None:
        return [warn("torch", f"{found}; CUDA_VISIBLE_DEVICES={clean(visible)!r} may hide others",
                     "a launched job gets its GPUs from the queue whatever that says")]  # fmt: skip
    return [ok("torch", found)]


def _runs_on(capability: str, archs: list[str]) -> bool:
    """Whether a build has kernels for a GPU: machine code of the same major version that is no newer, or PTX
    (compute_…) that is no newer, from which the driver makes some."""
    if not capability.isdigit():
        return True
    wanted = int(capability)
    for arch in archs:
        kind, _, number = arch.partition("_")
        digits = "".join(filter(str.isdigit, number))
        if digits and int(digits) <= wanted and (kind == "compute" or int(digits) // 10 == wanted // 10):
            return True
    return False
