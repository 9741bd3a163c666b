"""The device: CPU or GPU, precision, memory format, memory use, and out-of-memory errors."""

from __future__ import annotations

import contextlib
import errno
import resource
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from engine.contract.errors import BadInput

CPUINFO = Path("/proc/cpuinfo")
_BF16_UNITS = ("avx512_bf16", "amx_bf16", "bf16")
"""Features of x86 and, the last one, of ARM processors. torch also accepts bfloat16 where AVX-512 emulates it."""

_OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "ALLOC_FAILED")
"""Parts of the error messages of CUDA's start-up, torch's CPU allocator, cuBLAS and cuDNN."""


@dataclass(frozen=True, slots=True)
class Device:
    """Where tensors live and in which precision the network computes."""

    device: torch.device
    autocast_dtype: torch.dtype | None
    """None means full float32."""
    memory_format: torch.memory_format

    @property
    def is_cuda(self) -> bool:
        return self.device.type == "cuda"

    @property
    def scales_gradients(self) -> bool:
        """Whether training needs a GradScaler: float16 does; bfloat16 has float32's range."""
        return self.autocast_dtype is torch.float16

    def autocast(self) -> AbstractContextManager[object]:
        if self.autocast_dtype is None:
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, dtype=self.autocast_dtype)

    @property
    def precision(self) -> str:
        """float32, bfloat16 or float16."""
        return str(self.autocast_dtype or torch.float32).removeprefix("torch.")

    @property
    def name(self) -> str:
        return torch.cuda.get_device_name(self.device) if self.is_cuda else "cpu"


def pick_device(device: str = "auto", precision: str = "auto", channels_last: bool = True) -> Device:
    """The device that a config asks for. Raises BadInput with a one-line message if this machine lacks it."""
    has_cuda = torch.cuda.is_available()
    if device == "cuda" and not has_cuda:
        raise BadInput("device: cuda: no usable CUDA device; give cpu or auto, or run `xray-tui doctor`")
    kind = "cuda" if has_cuda and device != "cpu" else "cpu"
    return Device(
        torch.device(kind),
        _autocast_dtype(kind, precision),
        torch.channels_last if channels_last else torch.contiguous_format,
    )


def to_device(network: nn.Module, device: Device) -> nn.Module:
    """Move a network to the device and its 2-D kernels to the device's memory format. 3-D kernels keep theirs."""
    network.to(device.device)
    for parameter in network.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.to(memory_format=device.memory_format)
    return network


def _autocast_dtype(kind: str, precision: str) -> torch.dtype | None:
    if precision == "fp32":
        return None
    if precision == "fp16":
        if kind == "cpu":
            raise BadInput("training.precision: fp16 needs CUDA; give auto, bf16 or fp32")
        return torch.float16
    if precision == "bf16":
        if kind == "cpu" and not has_bf16_units():
            print("training.precision: bf16 is emulated on this processor and slower than fp32", flush=True)
        return torch.bfloat16
    if kind == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    return torch.bfloat16 if torch.ops.mkldnn._is_mkldnn_bf16_supported() and has_bf16_units() else None


def has_bf16_units() -> bool:
    """Whether the processor computes in bfloat16 itself; True where its features are unknown."""
    try:
        lines = CPUINFO.read_text("utf-8", "replace").splitlines()
    except OSError:
        return True
    features = {word for line in lines if line.startswith(("flags", "Features")) for word in line.split()}
    return not features or not features.isdisjoint(_BF16_UNITS)


def peak_memory() -> tuple[int, int | None]:
    """(peak resident memory of this process, peak GPU memory that it reserved or None without CUDA), in bytes."""
    rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    gpu = torch.cuda.max_memory_reserved() if torch.cuda.is_available() else None
    return rss, gpu


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means that the GPU or the machine ran out of memory."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in _OUT_OF_MEMORY)
