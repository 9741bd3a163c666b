"""The torch build and its CUDA version. A separate process reads them: the app never imports torch, which may hang."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from typing import Any

from engine.contract.text import clean
from xray_tui.doctor.findings import Context, Finding, ask, bad, ok, unknown, warn
from xray_tui.gpu.host_probe import pci_gpus

TIMEOUT = 120.0
"""Seconds; an import from a cold network file system is slow."""

BUILDS = "https://pytorch.org/get-started/locally"

_QUESTION = """
import json, sys
build = {}
try:
    import torch
    build |= {"version": torch.__version__, "cuda": torch.version.cuda, "hip": torch.version.hip}
    try:
        torch.cuda.init()
        build["archs"] = torch.cuda.get_arch_list()
        build["gpus"] = ["%s sm_%d%d" % (torch.cuda.get_device_name(i), *torch.cuda.get_device_capability(i))
                         for i in range(torch.cuda.device_count())]
    except Exception as error:
        build["problem"] = str(error)
except BaseException as error:
    build["import"] = type(error).__name__ + ": " + str(error)
print("\\n" + json.dumps(build))
"""


def torch_build(context: Context) -> list[Finding]:
    """Whether torch can be imported, the CUDA version it was built for, and the GPUs it finds."""
    output = ask([sys.executable, "-P", "-c", _QUESTION], TIMEOUT, failing=True)
    if output is None:
        return [unknown("torch", f"`import torch` did not finish within {TIMEOUT:g} s")]
    try:
        build = json.loads(output.rstrip().rpartition("\n")[2])
    except ValueError:
        return [bad("torch", "`import torch` crashes", f"install it again: {BUILDS}")]
    return judge_torch(build, len(pci_gpus(context.root)), os.environ.get("CUDA_VISIBLE_DEVICES"))


def judge_torch(build: Mapping[str, Any], installed: int, visible: str | None) -> list[Finding]:
    """`build` is the output of _QUESTION, `installed` the number of NVIDIA GPUs on the PCI bus, `visible` the value of
    $CUDA_VISIBLE_DEVICES."""
    if (problem := build.get("import")) is not None:
        if "No module named 'torch'" in problem:
            return [bad("torch", "not installed", "pip install 'xray-tui[engine]'; without it nothing can be launched")]
        return [bad("torch", f"cannot be imported: {clean(problem)[:200]}", f"install it again: {BUILDS}")]
    version, cuda = clean(str(build["version"])), build.get("cuda")
    if cuda is None:
        shown = f"{version}, built {'for ROCm' if build.get('hip') else 'without CUDA'}"
        if installed:
            return [bad("torch", f"{shown}: a training would run on the CPU", f"install a CUDA build: {BUILDS}")]
        return [ok("torch", shown)]
    shown = f"{version}, built for CUDA {clean(str(cuda))}"
    gpus = build.get("gpus") or []
    if not gpus:
        hidden = f" (CUDA_VISIBLE_DEVICES={clean(visible)!r} hides GPUs)" if visible is not None else ""
        reason = clean(str(build.get("problem") or "no GPU"))[:200]
        if installed:
            return [bad("torch", f"{shown}, finds no GPU: {reason}{hidden}",
                        f"the driver must support the CUDA version of the build: {BUILDS}")]  # fmt: skip
        return [ok("torch", f"{shown}, finds no GPU{hidden}")]
    shown += f", finds {len(gpus)} GPU{'' if len(gpus) == 1 else 's'}"
    archs = build.get("archs") or []
    unsupported = sorted({clean(gpu) for gpu in gpus if archs and not _runs_on(int(gpu.rpartition(" sm_")[2]), archs)})
    if unsupported:
        return [bad("torch", f"{shown}, but has no kernels for {', '.join(unsupported)}",
                    f"install a build that has them: {BUILDS}")]  # fmt: skip
    if visible is not None:
        return [warn("torch", f"{shown}; CUDA_VISIBLE_DEVICES={clean(visible)!r} may hide other GPUs",
                     "none needed for jobs: the queue sets the variable for each job")]  # fmt: skip
    return [ok("torch", shown)]


def _runs_on(needed: int, archs: list[str]) -> bool:
    """Whether a build supports a GPU of compute capability `needed`, such as 86. It must contain machine code (sm_…) of
    the same major version, or PTX (compute_…), which the driver compiles; neither may be newer than `needed`."""
    for arch in archs:
        kind, _, digits = arch.rstrip("af").partition("_")  # sm_90a: code for features of one architecture
        if digits.isdigit() and int(digits) <= needed and (kind == "compute" or int(digits) // 10 == needed // 10):
            return True
    return False
