"""Files that are no readable images: what they are, for messages."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from engine.contract.text import clean
from engine.data.annotations.shapes import Flaw

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
DAMAGED = (b"\x89png", b"\xff\xd8\xff", b"ii*\0", b"mm\0*", b"bm")
"""First bytes of PNG, JPEG, TIFF and BMP, in lower case."""
SIGNATURES = (
    (0, b"version https://git-lfs", "a Git LFS pointer, not the file itself (git lfs pull fetches it)"),
    (0, b"<!doctype html", "an HTML page, such as the error page of a failed download"),
    (0, b"<html", "an HTML page, such as the error page of a failed download"),
    (8, b"webp", "a WebP image"),
    (4, b"ftyphei", "a HEIC image"),
    (4, b"ftypmif1", "a HEIC image"),
    (0, b"gif8", "a GIF image"),
    (128, b"dicm", "a DICOM file under another name (rename it to .dcm)"),
    (0, b"%pdf", "a PDF file"),
    (0, b"\x93numpy", "a NumPy array"),
    *((0, magic, "an image file that is cut short or damaged") for magic in DAMAGED),
)
"""(offset, bytes in lower case, what a file is that has them there)."""
SHOWN = 3


def describe(path: Path) -> str:
    """What a file is that cannot be read as an image. Raises OSError."""
    with path.open("rb") as file:
        start = file.read(512)
    if not start.strip(b"\0"):
        return "a file of zero bytes only" if start else "an empty file"
    start = start.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    return next((kind for at, magic, kind in SIGNATURES if start[at : at + len(magic)] == magic), "no image")


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
