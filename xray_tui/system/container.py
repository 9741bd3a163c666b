"""Whether this machine is a container."""

from __future__ import annotations

from pathlib import Path

_MARKS = (".dockerenv", "run/.containerenv", ".singularity.d")


def is_container(root: Path = Path("/")) -> bool:
    """Whether Docker, Podman or Singularity has left its mark below the root folder."""
    return any((root / mark).exists() for mark in _MARKS)
