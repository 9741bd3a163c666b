"""Facts about the NVIDIA driver and the PCI bus that the file system shows without a driver call."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from xray_tui.system.cgroups import is_container

ROOT = Path("/")

_NVIDIA = "0x10de"
_DISPLAY = "0x03"
"""PCI vendor id, and the prefix of the PCI class of display controllers."""


class DriverFiles(NamedTuple):
    """Traces of the NVIDIA driver in the file system."""

    module: bool
    """The kernel module (in a container: the host's) is loaded."""
    devices: bool
    """/dev/nvidiactl exists."""
    container: bool
    """This process runs in a container."""


def driver_files() -> DriverFiles:
    """Read from /proc and /dev. Never raises."""
    return DriverFiles(Path("/proc/driver/nvidia/version").exists(), Path("/dev/nvidiactl").exists(), is_container())


def waiting_card(root: Path = ROOT) -> str | None:
    """The PCI address of an NVIDIA GPU without any driver, such as "0000:01:00.0"; None if there is no such GPU.

    Soon after boot its driver may still be loading. A GPU that is bound to nouveau, vfio-pci or the driver of a
    container's host is not for CUDA and does not count.
    """
    return next((device.name for device in pci_gpus(root) if not (device / "driver").is_symlink()), None)


def pci_gpus(root: Path = ROOT) -> list[Path]:
    """The folders in /sys of the NVIDIA GPUs on the PCI bus; empty if the bus cannot be read."""
    try:
        return sorted(filter(_is_gpu, (root / "sys/bus/pci/devices").iterdir()))
    except OSError:
        return []


def _is_gpu(device: Path) -> bool:
    """Whether the device is an NVIDIA display controller; the audio and USB functions of a card are other devices."""
    try:
        vendor, kind = ((device / name).read_text().strip() for name in ("vendor", "class"))
    except OSError:
        return False
    return vendor == _NVIDIA and kind.startswith(_DISPLAY)
