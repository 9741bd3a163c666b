"""Names what a file is that cannot be read as an image."""

from __future__ import annotations

from pathlib import Path

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


def describe(path: Path) -> str:
    """What a file is that cannot be read as an image. Raises OSError."""
    with path.open("rb") as file:
        start = file.read(512)
    if not start.strip(b"\0"):
        return "a file of zero bytes only" if start else "an empty file"
    start = start.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    return next((kind for at, magic, kind in SIGNATURES if start[at : at + len(magic)] == magic), "no image")
