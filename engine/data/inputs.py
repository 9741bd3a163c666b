"""The images of a split at the network's size, decoded and resized once and kept as memory-mapped arrays."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from engine.contract.errors import BadInput
from engine.contract.text import clean
from engine.data.geometry import image_to_input, mask_to_input
from engine.data.image import read_image, read_mask
from engine.data.manifest import Sample
from engine.folders import made_whole, new_array, open_array
from engine.parallel import each

CACHE = ".cache"
KEPT = 24
"""Cached splits beside a manifest; the least recently used ones go."""


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
    """Read the samples at the network's size; from and into `.cache` beside the manifest `cache_beside`, unless that is
    None.

    A cache is taken only where every file still has the size and modification time it was made from. Where it
    cannot be written (read-only data, full disk) the arrays stay in memory. Raises BadInput with a line for every
    mask of another size than its image.
    """
    if cache_beside is not None:
        folder = cache_beside.parent / CACHE / _key(samples, size, keep_aspect)
        found = _cached(samples, folder) or _make_cache(samples, size, keep_aspect, folder, what)
        if found is not None:
            return found
    images, masks = _empty(samples, size)
    _read(samples, keep_aspect, images, masks, what)
    return Inputs(tuple(samples), images, masks)


def _empty(samples: Sequence[Sample], size: int) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_]]:
    shape = (len(samples), size, size)
    return np.zeros(shape, np.uint8), np.zeros(shape, np.bool_)


def _read(
    samples: Sequence[Sample], keep_aspect: bool, images: npt.NDArray[np.uint8], masks: npt.NDArray[np.bool_], what: str
) -> None:
    """Fill the arrays, (N, size, size) each."""
    size = images.shape[1]

    def read(index: int) -> str | None:
        sample = samples[index]
        image = read_image(sample.image)
        images[index] = image_to_input(image, size, keep_aspect)
        if sample.mask is None:
            return None
        mask = read_mask(sample.mask)
        masks[index] = mask_to_input(mask, size, keep_aspect)
        return None if mask.shape == image.shape else size_problem(sample, image.shape, mask.shape)

    if problems := [problem for problem in each(read, len(samples), f"read {what}") if problem]:
        raise BadInput(problems)


def size_problem(sample: Sample, image: tuple[int, ...], mask: tuple[int, ...]) -> str:
    """The line that says that a mask is not of its image's size; (rows, columns) each."""
    return (
        f"{clean(str(sample.mask))}: {mask[1]} x {mask[0]} pixels, but its image {clean(sample.id)} has "
        f"{image[1]} x {image[0]}; a mask at the image's size is right"
    )


def _cached(samples: Sequence[Sample], folder: Path) -> Inputs | None:
    """The cached arrays; None where there are none, or damaged ones, which are taken away."""
    try:
        images, masks = (open_array(folder / f"{name}.npy") for name in ("images", "masks"))
        os.utime(folder)
    except FileNotFoundError:
        return None
    except (OSError, ValueError):
        shutil.rmtree(folder, ignore_errors=True)
        return None
    return Inputs(tuple(samples), images, masks)


def _make_cache(samples: Sequence[Sample], size: int, keep_aspect: bool, folder: Path, what: str) -> Inputs | None:
    """Read the samples into the folder; None where it cannot be written."""
    shape = (len(samples), size, size)
    try:
        with made_whole(folder) as making:
            images = new_array(making / "images.npy", np.uint8, shape)
            masks = new_array(making / "masks.npy", np.bool_, shape)
            _read(samples, keep_aspect, images, masks, what)
        _forget_oldest(folder.parent)
    except OSError:
        return None
    return _cached(samples, folder)


def _forget_oldest(cache: Path) -> None:
    folders = [entry for entry in cache.iterdir() if not entry.name.startswith(".")]
    for folder in sorted(folders, key=lambda entry: entry.stat().st_mtime)[:-KEPT]:
        shutil.rmtree(folder, ignore_errors=True)


def _key(samples: Sequence[Sample], size: int, keep_aspect: bool) -> str:
    digest = hashlib.sha256(json.dumps(["inputs-1", size, keep_aspect]).encode())
    for sample in samples:
        for path in (sample.image, sample.mask):
            state = path.stat() if path is not None else None
            entry = [sample.id, str(path), state.st_size, state.st_mtime_ns] if state else [sample.id]
            digest.update(json.dumps(entry).encode())
    return digest.hexdigest()[:24]
