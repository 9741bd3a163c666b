"""The images of a split at the network's size, decoded and resized once and kept as memory-mapped arrays."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from engine.data.geometry import image_to_input, mask_to_input
from engine.data.image import read_image, read_mask
from engine.data.manifest import Sample
from engine.progress import Progress

CACHE = ".cache"


@dataclass(frozen=True, slots=True)
class Inputs:
    """Images and masks of some samples, in their order."""

    samples: tuple[Sample, ...]
    images: npt.NDArray[np.uint8]
    """(N, size, size), grey."""
    masks: npt.NDArray[np.bool_]
    """(N, size, size)."""


def load_inputs(
    samples: Sequence[Sample], size: int, keep_aspect: bool, cache_beside: Path | None, what: str
) -> Inputs:
    """Read the samples at the network's size; from and into `.cache` beside the manifest, unless that is None.

    A cache is taken only where every file still has the size and modification time it was made from. Where it
    cannot be written (read-only data, full disk) the arrays stay in memory.
    """
    key = _key(samples, size, keep_aspect)
    folder = cache_beside.parent / CACHE / key if cache_beside else None
    if folder is not None and (folder / "masks.npy").exists():
        return _mapped(samples, folder)
    images = np.empty((len(samples), size, size), np.uint8)
    masks = np.zeros((len(samples), size, size), np.bool_)

    def read(index: int) -> None:
        sample = samples[index]
        images[index] = image_to_input(read_image(sample.image), size, keep_aspect)
        if sample.mask is not None:
            masks[index] = mask_to_input(read_mask(sample.mask), size, keep_aspect)

    with Progress(f"read {what}", len(samples), "images") as progress, ThreadPoolExecutor(os.cpu_count()) as pool:
        for _ in pool.map(read, range(len(samples))):
            progress.advance()
    if folder is not None and _store(folder, images, masks):
        return _mapped(samples, folder)
    return Inputs(tuple(samples), images, masks)


def _mapped(samples: Sequence[Sample], folder: Path) -> Inputs:
    images = np.load(folder / "images.npy", mmap_mode="r", allow_pickle=False)
    masks = np.load(folder / "masks.npy", mmap_mode="r", allow_pickle=False)
    return Inputs(tuple(samples), images, masks)


def _store(folder: Path, images: npt.NDArray[np.uint8], masks: npt.NDArray[np.bool_]) -> bool:
    """Write both arrays into a temporary folder and rename it; False where that is not possible."""
    temporary = None
    try:
        folder.parent.mkdir(exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=".making-", dir=folder.parent))
        np.save(temporary / "images.npy", images)
        np.save(temporary / "masks.npy", masks)
        temporary.rename(folder)
    except OSError:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)
        return (folder / "masks.npy").exists()  # another process was first
    return True


def _key(samples: Sequence[Sample], size: int, keep_aspect: bool) -> str:
    digest = hashlib.sha256(json.dumps(["inputs-1", size, keep_aspect]).encode())
    for sample in samples:
        for path in (sample.image, sample.mask):
            state = path.stat() if path is not None else None
            entry = [sample.id, str(path), state.st_size, state.st_mtime_ns] if state else [sample.id]
            digest.update(json.dumps(entry).encode())
    return digest.hexdigest()[:24]
