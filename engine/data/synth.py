"""`xray-engine synth`: a deterministic set of synthetic radiographs, to try everything without anybody's patients."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from engine.contract.errors import BadInput
from engine.contract.names import MANIFEST
from engine.contract.text import clean
from engine.data.manifest import Sample, write_manifest
from engine.data.phantom import radiograph
from engine.data.split import stratified_split

POSITIVE_SHARE = 0.28
SIZES = range(32, 2049)
MOST_IMAGES = 100_000


def make_synthetic(
    output: Path,
    images: int = 200,
    size: int = 128,
    seed: int = 42,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Path:
    """Write OUTPUT/images, OUTPUT/masks (of positives only) and OUTPUT/manifest.csv; returns the manifest.

    28 % of the images have a fracture; from 20 images on, train, val and test each hold images with and without. The
    same arguments give the same pixels, ids and splits. A manifest already there goes first and the new one comes
    last, so none ever tells of images that are not its own. Raises BadInput: arguments out of range, no place.
    """
    if not 1 <= images <= MOST_IMAGES:
        raise BadInput(f"--images {images}: 1 to {MOST_IMAGES} is right")
    if size not in SIZES:
        raise BadInput(f"--size {size}: {SIZES.start} to {SIZES.stop - 1} pixels is right")
    if seed < 0:
        raise BadInput(f"--seed {seed}: 0 or more is right")
    try:
        return _make(output, images, size, seed, progress)
    except OSError as error:
        raise BadInput(f"{clean(str(error.filename or output))}: {error.strerror or error}") from error


def _make(output: Path, images: int, size: int, seed: int, progress: Callable[[int, int], None]) -> Path:
    for folder in (output / "images", output / "masks"):
        folder.mkdir(parents=True, exist_ok=True)
    manifest = output / MANIFEST
    manifest.unlink(missing_ok=True)
    ids = [f"synth_{number:0{max(4, len(str(images)))}d}" for number in range(1, images + 1)]
    fractured = np.zeros(images, bool)
    fractured[: max(1, round(images * POSITIVE_SHARE))] = True
    np.random.default_rng(seed).shuffle(fractured)
    splits = stratified_split(ids, fractured.tolist(), [()] * images, seed)
    samples = []
    for number, (identity, positive, split) in enumerate(zip(ids, fractured.tolist(), splits, strict=True)):
        image, mask = output / "images" / f"{identity}.png", output / "masks" / f"{identity}.png"
        pixels, broken = radiograph(np.random.default_rng((seed, number)), size, positive)
        Image.fromarray(pixels).save(image)
        if positive:
            Image.fromarray(broken.astype(np.uint8) * 255).save(mask)
        samples.append(Sample(identity, image, mask if positive else None, positive, split))
        progress(number + 1, images)
    write_manifest(manifest, samples)
    return manifest
