"""What a figure or a checkpoint comes from: commit, library versions, device and precision, and seconds."""

from __future__ import annotations

import os
import subprocess
from importlib import metadata
from pathlib import Path

from engine import __version__
from engine.contract.names import ENGINE_GIT_ENV

LIBRARIES = ("torch", "timm", "segmentation-models-pytorch", "numpy")


def computed(device: str, seconds: float) -> dict[str, object]:
    """The provenance of a computation. `device` is the name with the precision really used, such as "cpu, float32"."""
    return {
        "git": git_state(),
        "engine": __version__,
        "versions": {name: version for name in LIBRARIES if (version := _version(name)) is not None},
        "device": device,
        "seconds": round(seconds, 2),
    }


def git_state() -> str | None:
    """The engine's commit, with `-dirty` for changed files; None outside a git checkout. For a job, which runs a copy
    of the engine, the original's state is in the environment."""
    if (state := os.environ.get(ENGINE_GIT_ENV)) is not None:
        return state or None
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=12", "--match="]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
