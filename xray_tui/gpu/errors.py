"""Error codes of the NVIDIA driver as sentences that say what to do."""

from __future__ import annotations

import pynvml

from xray_tui.gpu.host_probe import DriverFiles

ABSENT = frozenset(
    {
        pynvml.NVML_ERROR_NOT_SUPPORTED,
        pynvml.NVML_ERROR_NOT_FOUND,
        pynvml.NVML_ERROR_FUNCTION_NOT_FOUND,
        pynvml.NVML_ERROR_ARGUMENT_VERSION_MISMATCH,
    }
)
"""Codes for a value that the GPU or the driver does not provide; it is shown as "n/a", not as an error."""

GPU_GONE = frozenset({pynvml.NVML_ERROR_GPU_IS_LOST, pynvml.NVML_ERROR_RESET_REQUIRED})
"""Codes after which every further call for this GPU fails."""

DRIVER_GONE = frozenset(
    {
        pynvml.NVML_ERROR_UNINITIALIZED,
        pynvml.NVML_ERROR_DRIVER_NOT_LOADED,
        pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH,
    }
)
"""Codes after which every further call for any GPU fails until NVML is started again."""

NO_GPU = (
    "The NVIDIA driver answers but shows no GPU: `nvidia-smi -L` should list one; in a container, start it with "
    "`--gpus all` and check NVIDIA_VISIBLE_DEVICES."
)


def why_no_driver(code: int, text: str, files: DriverFiles) -> str:
    """Why NVML does not start, as a sentence. `text` is the driver's own message for the error."""
    no_library = code == pynvml.NVML_ERROR_LIBRARY_NOT_FOUND
    not_loaded = code in (pynvml.NVML_ERROR_DRIVER_NOT_LOADED, pynvml.NVML_ERROR_UNINITIALIZED)
    if files.container and not files.module and (no_library or code == pynvml.NVML_ERROR_DRIVER_NOT_LOADED):
        return "No NVIDIA driver is visible in this container: if the host has GPUs, start it with `--gpus all`."
    if no_library and files.container:
        return "The NVIDIA library is not in this container: start it with `--gpus all` (NVIDIA Container Toolkit)."
    if no_library and files.module:
        return (
            "The NVIDIA kernel module is loaded, but libnvidia-ml.so.1 is not found: install the driver's library "
            "(Debian: libnvidia-ml1, Ubuntu: libnvidia-compute)."
        )
    if no_library:
        return (
            "No NVIDIA driver on this machine (libnvidia-ml.so.1 is not found): install it if the machine has a GPU; "
            "without a GPU everything runs on the CPU."
        )
    if not_loaded and files.module and not files.devices:
        where = "container: start it with `--gpus all`" if files.container else "machine: run `sudo nvidia-modprobe`"
        return f"The NVIDIA driver is loaded, but /dev/nvidiactl is missing in this {where}."
    if not_loaded:
        return (
            "The NVIDIA driver is installed but not loaded: `sudo modprobe nvidia`; if that fails (often after a "
            "kernel update), install the driver again."
        )
    if code == pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH:
        return (
            "The NVIDIA library and the loaded kernel module have different versions (the driver was updated while it "
            "ran): reboot, or end all GPU work and reload the nvidia modules."
        )
    if code == pynvml.NVML_ERROR_NO_PERMISSION:
        return (
            "No permission to use the NVIDIA driver: join the group that owns /dev/nvidiactl (often `video` or "
            "`render`) and log in again."
        )
    if files.container:
        return (
            f"The NVIDIA driver does not start in this container ({text}): restart the container; a "
            "`systemctl daemon-reload` on the host removes its devices."
        )
    return f"The NVIDIA driver does not start ({text}): see `nvidia-smi` and `sudo dmesg`."


def why_no_values(code: int, text: str) -> str:
    """Why one GPU cannot be read, as "short form: what to do" without a full stop."""
    match code:
        case pynvml.NVML_ERROR_GPU_IS_LOST:
            return "GPU is lost: look for Xid in `sudo dmesg`; if it does not come back, reboot"
        case pynvml.NVML_ERROR_RESET_REQUIRED:
            return "reset required: end its processes, then `sudo nvidia-smi --gpu-reset -i` with its index, or reboot"
        case pynvml.NVML_ERROR_NO_PERMISSION:
            return "no permission: ask for access to this GPU's device file in /dev"
        case pynvml.NVML_ERROR_TIMEOUT:
            return "driver timeout: read again; if it persists, see `sudo dmesg`"
        case _:
            return f"{text.lower()}: read again; if it persists, see `sudo dmesg`"


def why_no_list(code: int, text: str) -> str:
    """Why the processes of one GPU cannot be listed."""
    if code == pynvml.NVML_ERROR_NO_PERMISSION:
        return "no permission"
    if code in ABSENT:
        return "not supported by this GPU or driver"
    return text.lower()
