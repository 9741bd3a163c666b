"""Checks of radiographs and masks: of one decoded case, and of all prepared samples together."""

from __future__ import annotations

import hashlib
import io
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from engine.contract.errors import BadInput
from engine.contract.text import clean
from engine.data.images import image_size, read_mask, read_radiograph
from engine.data.manifest import SPLITS, Sample
from engine.data.polygon import check_polygon, draw
from engine.data.sources import Case, Drawing, Flaw

ASPECT_TOLERANCE = 0.01


@dataclass(frozen=True, slots=True)
class Examined:
    """What decoding a case told."""

    case: Case
    digest: bytes
    """Of the size and the pixels: equal for images that are pixel for pixel the same, however they are stored."""
    mask: bytes | None
    """PNG of 0 and 255 at the upright image's size; None where the mask is empty or there is none."""
    flaws: tuple[Flaw, ...]


def header_problems(case: Case) -> list[str]:
    """What the headers already tell to be wrong: no image, or a mask (or annotated picture) of another size."""
    try:
        height, width = image_size(case.image)
        if isinstance(case.mask, Path):
            size = image_size(case.mask, upright=False)
            if size != (height, width):
                raise BadInput(
                    f"{clean(str(case.mask))}: is {size[1]} x {size[0]} pixels, "
                    f"its image {width} x {height} (turned upright); the same size is right"
                )
        elif case.mask and _scale(case.mask, height, width) is None:
            raise BadInput(
                f"{clean(case.image.name)}: annotated as {case.mask.width:g} x {case.mask.height:g} pixels, "
                f"is {width} x {height} (turned upright); the same size is right"
            )
    except BadInput as error:
        return [f"{case.where}: {line}" for line in error.lines]
    return []


def examine(case: Case) -> Examined | BadInput:
    """Decode the case; BadInput is returned, not raised, so that all of them can be listed."""
    try:
        radiograph = read_radiograph(case.image)
        height, width = radiograph.pixels.shape
        flaws = []
        if radiograph.truncated:
            flaws.append(Flaw("truncated", f"{case.id}: the JPEG ends too early, read as far as it goes"))
        if radiograph.turned:
            flaws.append(Flaw("rotated", f"{case.id}: carries an EXIF rotation, turned to {width} x {height}"))
        mask = None
        if isinstance(case.mask, Path):
            mask = read_mask(case.mask)
        elif case.mask:
            corners, polygon_flaws = _polygons(case.id, case.mask, height, width)
            flaws.extend(polygon_flaws)
            mask = draw(corners, height, width)
    except BadInput as error:
        return BadInput(f"{case.where}: {line}" for line in error.lines)
    digest = hashlib.blake2b(f"{height} {width} ".encode() + radiograph.pixels.tobytes(), digest_size=16).digest()
    return Examined(case, digest, _png(mask) if mask is not None and mask.any() else None, tuple(flaws))


def _polygons(name: str, drawing: Drawing, height: int, width: int) -> tuple[list[NDArray[np.float64]], list[Flaw]]:
    scale = _scale(drawing, height, width) or (1.0, 1.0)
    flaws = []
    if scale != (1.0, 1.0):
        drawn_on = f"{drawing.width:g} x {drawing.height:g}"
        flaws.append(Flaw("scaled", f"{name}: polygons drawn on {drawn_on}, scaled to the image's {width} x {height}"))
    corners = []
    for position, given in enumerate(drawing.polygons, 1):
        polygon, flaw = check_polygon(given, drawing.width, drawing.height)
        if flaw:
            verdict = "" if polygon is not None else ", left out"
            flaws.append(Flaw("polygon", f"{name}: polygon {position} {flaw}{verdict}"))
        if polygon is not None:
            corners.append(polygon * scale)
    return corners, flaws


def _scale(drawing: Drawing, height: int, width: int) -> tuple[float, float] | None:
    """Factors from the annotated picture to the image; None where their shapes differ, so that none would be right."""
    if not (drawing.width > 0 and drawing.height > 0):
        return None
    x, y = width / drawing.width, height / drawing.height
    return (x, y) if abs(x / y - 1.0) <= ASPECT_TOLERANCE else None


def _png(mask: NDArray[np.bool_]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(mask.astype(np.uint8) * 255).save(file, "PNG")
    return file.getvalue()


def set_flaws(samples: Sequence[Sample], digests: Sequence[bytes]) -> Iterator[Flaw]:
    """Every such flaw. digests: of each sample's pixels, in the same order."""
    yield from _duplicates(samples, digests)
    yield from _torn_groups(samples)
    yield from _empty_classes(samples)


def _duplicates(samples: Sequence[Sample], digests: Sequence[bytes]) -> Iterator[Flaw]:
    """One flaw for all images with the same pixels; its kind is the worst thing about them."""
    alike: dict[bytes, list[Sample]] = defaultdict(list)
    for sample, digest in zip(samples, digests, strict=True):
        alike[digest].append(sample)
    for same in alike.values():
        if len(same) == 1:
            continue
        told = ", ".join(f"{s.id} ({s.split}, {'' if s.fractured else 'not '}fractured)" for s in same)
        across = len({s.split for s in same}) > 1
        differ = len({s.fractured for s in same}) > 1
        kind = "duplicate, other label" if differ else "duplicate across splits" if across else "duplicate"
        told += "; across splits" * across + "; with different labels" * differ
        yield Flaw(kind, f"pixel for pixel the same: {told}")


def _torn_groups(samples: Sequence[Sample]) -> Iterator[Flaw]:
    places: dict[str, set[str]] = defaultdict(set)
    for sample in samples:
        if sample.group is not None:
            places[sample.group].add(sample.split)
    for group, splits in places.items():
        if len(splits) > 1:
            named = " and ".join(split for split in SPLITS if split in splits)
            yield Flaw("group across splits", f"group {clean(group)} is in {named}: scores there flatter")


def _empty_classes(samples: Sequence[Sample]) -> Iterator[Flaw]:
    there = Counter((sample.split, sample.fractured) for sample in samples)
    for split in SPLITS:
        for fractured, word in ((True, "fractured"), (False, "unfractured")):
            if not there[split, fractured]:
                yield Flaw("empty class", f"{split} has no {word} image: not every metric can be computed there")
