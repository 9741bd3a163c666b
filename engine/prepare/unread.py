"""Pictures in formats that are not read, which are listed instead of left out in silence."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from engine.contract.text import clean
from engine.prepare.annotations.shapes import Flaw

UNREAD = frozenset(
    {
        ".webp",
        ".gif",
        ".jp2",
        ".j2k",
        ".jxl",
        ".heic",
        ".heif",
        ".avif",
        ".jfif",
        ".jpe",
        ".pgm",
        ".ppm",
        ".pnm",
        ".tga",
    }
    | {".psd", ".dng", ".pdf", ".exr", ".nii", ".gz", ".npy", ".npz", ".nrrd", ".nhdr", ".mha", ".mhd"}
)
"""Suffixes of pictures that are not read."""
SHOWN = 3


def list_unread(paths: Iterable[Path]) -> list[Flaw]:
    """A flaw for each suffix of UNREAD among the paths: how many such files there are, and some names."""
    paths_of: dict[str, list[Path]] = defaultdict(list)
    for path in paths:
        if path.suffix.lower() in UNREAD:
            paths_of[path.suffix.lower()].append(path)
    flaws = []
    for suffix, group in paths_of.items():
        names = ", ".join(clean(str(path)) for path in group[:SHOWN]) + ", …" * (len(group) > SHOWN)
        line = f"{len(group)} {suffix} files ({names}): left out; expected PNG, JPEG, TIFF, BMP or DICOM"
        flaws.append(Flaw("not read", line))
    return flaws
