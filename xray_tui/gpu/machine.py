"""What the file system says about the NVIDIA driver and the container we may be in."""

from __future__ import annotations

from pathlib import Path

from xray_tui.gpu.problems import Machine

_CONTAINER_MARKS = (".dockerenv", "run/.containerenv", ".singularity.d")


def this_machine() -> Machine:
    """A few looks at /proc and /dev; never an error."""
    return Machine(
        module=Path("/proc/driver/nvidia/version").exists(),
        devices=Path("/dev/nvidiactl").exists(),
        container=is_container(),
    )


def is_container(root: Path = Path("/")) -> bool:
    """Whether Docker, Podman or Singularity has left its mark below the root folder."""
    return any((root / mark).exists() for mark in _CONTAINER_MARKS)
