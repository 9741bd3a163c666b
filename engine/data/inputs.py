"""The images of a split at the network's size: decoded and resized once, then kept as memory-mapped arrays."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from engine.contract.errors import BadInput
from engine.contract.text import clean
from engine.data.arrays import cached
from engine.data.images import read_image, read_labels
from engine.data.manifest import Sample
from engine.data.patches import POSITIONS, Coordinates, find_positions
from engine.data.resize import image_to_input, mask_to_input
from engine.process.progress import map_threaded

CACHE = ".cache"
PLACES_KEY = "places-1"
KEPT = 24
"""Cached splits beside a manifest. The least recently used ones are removed."""


@dataclass(frozen=True, slots=True)
class Inputs:
    """Images and masks of some samples, in their order."""

    samples: tuple[Sample, ...]
    images: npt.NDArray[np.uint8]
    """(N, size, size), grey."""
    masks: npt.NDArray[np.int8]
    """(N, size, size): 1 fracture, 0 none, -1 ignored."""
    positions: Coordinates | None = None
    """(N, 2 * POSITIONS + 1, 2): positions where patches may be cut, if requested."""


def load_inputs(
    samples: Sequence[Sample],
    size: int,
    keep_aspect: bool,
    cache_beside: Path | None,
    what: str,
    *,
    with_positions: bool = False,
) -> Inputs:
    """Read the samples at the network's size. They are cached in `.cache` beside the manifest `cache_beside`, unless
    that is None. Of several processes that need the same, one reads the images and the others wait.

    A cache is used only if every file still has the size and modification time from which it was made. Where it cannot
    be written (read-only data, full disk) the arrays stay in memory. Raises BadInput with a line for every mask whose
    size differs from its image's.
    """
    folder = cache_folder(samples, cache_beside, "inputs-2", size, keep_aspect)
    shape = (len(samples), size, size)

    def fill(images: npt.NDArray[np.uint8], masks: npt.NDArray[np.int8]) -> None:
        def read(index: int) -> str | None:
            sample = samples[index]
            image = read_image(sample.image, sample.window)
            images[index] = image_to_input(image, size, keep_aspect)
            if sample.mask is None:
                return None
            mask = read_labels(sample.mask)
            masks[index] = mask_to_input(mask, size, keep_aspect)
            return None if mask.shape == image.shape else size_problem(sample, image.shape, mask.shape)

        if problems := [problem for problem in map_threaded(read, len(samples), f"read {what}") if problem]:
            raise BadInput(problems)

    images, masks = cached(folder, {"images": (np.uint8, shape), "masks": (np.int8, shape)}, fill)
    if folder is not None:
        with contextlib.suppress(OSError):  # the folder is missing, or another process removes it too
            others = [entry for entry in folder.parent.iterdir() if not entry.name.startswith(".")]
            for oldest in sorted(others, key=lambda entry: entry.stat().st_mtime)[:-KEPT]:
                shutil.rmtree(oldest, ignore_errors=True)
    if not with_positions:
        return Inputs(tuple(samples), images, masks)

    def find(table: Coordinates) -> None:
        def find_one(index: int) -> None:
            table[index] = find_positions(images[index], masks[index] > 0)

        list(map_threaded(find_one, len(samples), f"find patches of {what}"))

    beside = folder / PLACES_KEY if folder is not None else None
    (table,) = cached(beside, {"places": (np.int16, (len(samples), 2 * POSITIONS + 1, 2))}, find)
    return Inputs(tuple(samples), images, masks, table)


def size_problem(sample: Sample, image: tuple[int, ...], mask: tuple[int, ...]) -> str:
    """The error line for a mask whose size differs from its image's; sizes are (rows, columns)."""
    return (
        f"{clean(str(sample.mask))}: expected {image[1]} x {image[0]} pixels like its image {clean(sample.id)}, "
        f"got {mask[1]} x {mask[0]}"
    )


def cache_folder(samples: Sequence[Sample], cache_beside: Path | None, *what: object) -> Path | None:
    """The folder beside the manifest `cache_beside` for arrays that depend on the samples' files and windows, and on
    `what`."""
    if cache_beside is None:
        return None
    digest = hashlib.sha256(json.dumps(what).encode())
    for sample in samples:
        for path in (sample.image, sample.mask):
            state = path.stat() if path is not None else None
            entry = [sample.id, str(path), state.st_size, state.st_mtime_ns] if state else [sample.id]
            digest.update(json.dumps(entry).encode())
        if sample.window is not None:
            digest.update(json.dumps(sample.window[:2]).encode())
    return cache_beside.parent / CACHE / digest.hexdigest()[:24]
