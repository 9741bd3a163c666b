"""Whether this process runs in a container."""

from __future__ import annotations

from pathlib import Path

_MARKS = (".dockerenv", "run/.containerenv", ".singularity.d")


def is_container(root: Path = Path("/")) -> bool:
    """Whether a file of Docker, Podman or Singularity exists below the root folder."""
    return any((root / mark).exists() for mark in _MARKS)
