"""Error codes of the NVIDIA driver as sentences that say what to do."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class Code(IntEnum):
    """NVML error codes (nvmlReturn_t in nvml.h) that get a message or a treatment of their own."""

    SUCCESS = 0
    UNINITIALIZED = 1
    INVALID_ARGUMENT = 2
    NOT_SUPPORTED = 3
    NO_PERMISSION = 4
    NOT_FOUND = 6
    DRIVER_NOT_LOADED = 9
    TIMEOUT = 10
    LIBRARY_NOT_FOUND = 12
    FUNCTION_NOT_FOUND = 13
    GPU_IS_LOST = 15
    RESET_REQUIRED = 16
    LIB_RM_VERSION_MISMATCH = 18
    ARGUMENT_VERSION_MISMATCH = 25
    UNKNOWN = 999


ABSENT = frozenset({Code.NOT_SUPPORTED, Code.NOT_FOUND, Code.FUNCTION_NOT_FOUND, Code.ARGUMENT_VERSION_MISMATCH})
"""The GPU or the driver does not provide the value; shown as "n/a", not as an error."""

GPU_GONE = frozenset({Code.GPU_IS_LOST, Code.RESET_REQUIRED})
"""Every further call for this GPU fails."""

DRIVER_GONE = frozenset({Code.UNINITIALIZED, Code.DRIVER_NOT_LOADED, Code.LIB_RM_VERSION_MISMATCH})
"""Every further call for any GPU fails until NVML is started again."""


@dataclass(frozen=True, slots=True)
class Machine:
    """Facts about the driver that the file system shows without a driver call."""

    module: bool
    """The kernel module (in a container: the host's) is loaded."""
    devices: bool
    """/dev/nvidiactl exists."""
    container: bool


NO_GPU = (
    "The NVIDIA driver answers but shows no GPU: `nvidia-smi -L` should list one; in a container, start it with "
    "`--gpus all` and check NVIDIA_VISIBLE_DEVICES."
)


NO_ANSWER = "no answer: the driver hangs on this GPU; read again when the call returns; look for Xid in `sudo dmesg`"
"""Problem of a GPU whose call does not return while other GPUs answer."""


def why_no_driver(code: int, text: str, machine: Machine) -> str:
    """Why NVML does not start, as a sentence. `text` is the driver's own message for the error."""
    if code in (Code.LIBRARY_NOT_FOUND, Code.DRIVER_NOT_LOADED) and not machine.module and machine.container:
        return "No NVIDIA driver is visible in this container: if the host has GPUs, start it with `--gpus all`."
    if code == Code.LIBRARY_NOT_FOUND:
        return _no_library(machine)
    if code in (Code.DRIVER_NOT_LOADED, Code.UNINITIALIZED):
        return _not_loaded(machine)
    if code == Code.LIB_RM_VERSION_MISMATCH:
        return (
            "The NVIDIA library and the loaded kernel module have different versions (the driver was updated while it "
            "ran): reboot, or end all GPU work and reload the nvidia modules."
        )
    if code == Code.NO_PERMISSION:
        return (
            "No permission to use the NVIDIA driver: join the group that owns /dev/nvidiactl (often `video` or "
            "`render`) and log in again."
        )
    if machine.container:
        return (
            f"The NVIDIA driver does not start in this container ({text}): restart the container; a "
            "`systemctl daemon-reload` on the host removes its devices."
        )
    return f"The NVIDIA driver does not start ({text}): see `nvidia-smi` and `sudo dmesg`."


def why_no_values(code: int, text: str) -> str:
    """Why one GPU cannot be read, as "short form: what to do" without a full stop."""
    match code:
        case Code.GPU_IS_LOST:
            return "GPU is lost: look for Xid in `sudo dmesg`; if it does not come back, reboot"
        case Code.RESET_REQUIRED:
            return "reset required: end its processes, then `sudo nvidia-smi --gpu-reset -i` with its index, or reboot"
        case Code.NO_PERMISSION:
            return "no permission: ask for access to this GPU's device file in /dev"
        case Code.TIMEOUT:
            return "driver timeout: read again; if it persists, see `sudo dmesg`"
        case _:
            return f"{text.lower()}: read again; if it persists, see `sudo dmesg`"


def why_no_list(code: int, text: str) -> str:
    """Why the processes of one GPU cannot be listed."""
    if code == Code.NO_PERMISSION:
        return "no permission"
    if code in ABSENT:
        return "not supported by this GPU or driver"
    return text.lower()


def _no_library(machine: Machine) -> str:
    if machine.container:
        return "The NVIDIA library is not in this container: start it with `--gpus all` (NVIDIA Container Toolkit)."
    if machine.module:
        return (
            "The NVIDIA kernel module is loaded, but libnvidia-ml.so.1 is not found: install the driver's library "
            "(Debian: libnvidia-ml1, Ubuntu: libnvidia-compute)."
        )
    return (
        "No NVIDIA driver on this machine (libnvidia-ml.so.1 is not found): install it if the machine has a GPU; "
        "without a GPU everything runs on the CPU."
    )


def _not_loaded(machine: Machine) -> str:
    if machine.module and not machine.devices:
        where = "container: start it with `--gpus all`" if machine.container else "machine: run `sudo nvidia-modprobe`"
        return f"The NVIDIA driver is loaded, but /dev/nvidiactl is missing in this {where}."
    return (
        "The NVIDIA driver is installed but not loaded: `sudo modprobe nvidia`; if that fails (often after a kernel "
        "update), install the driver again."
    )
