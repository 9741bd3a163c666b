"""What the file system says about the NVIDIA driver, cards without one, and the container we may be in."""

from __future__ import annotations

from pathlib import Path

from xray_tui.gpu.errors import Machine
from xray_tui.system.container import is_container

ROOT = Path("/")

_NVIDIA = "0x10de"
_DISPLAY = "0x03"
"""Of a device's vendor and class, as PCI-SIG has numbered them."""


def this_machine() -> Machine:
    """A few looks at /proc and /dev; never an error."""
    return Machine(
        module=Path("/proc/driver/nvidia/version").exists(),
        devices=Path("/dev/nvidiactl").exists(),
        container=is_container(),
    )


def waiting_card(root: Path = ROOT) -> str | None:
    """The PCI address of an NVIDIA GPU without a driver, such as "0000:01:00.0"; None where there is none.

    Soon after a machine's start the driver may still come. A GPU with nouveau or vfio-pci, or with the driver of a
    container's host, is not to be computed on.
    """
    return next((device.name for device in pci_gpus(root) if not (device / "driver").is_symlink()), None)


def pci_gpus(root: Path = ROOT) -> list[Path]:
    """The folders in /sys of the NVIDIA GPUs on the PCI bus; empty where the bus cannot be read."""
    try:
        return sorted(filter(_is_gpu, (root / "sys/bus/pci/devices").iterdir()))
    except OSError:
        return []


def _is_gpu(device: Path) -> bool:
    """Whether it is NVIDIA's, and shows or computes: its sound and USB parts are devices of their own."""
    try:
        vendor, kind = ((device / name).read_text().strip() for name in ("vendor", "class"))
    except OSError:
        return False
    return vendor == _NVIDIA and kind.startswith(_DISPLAY)
