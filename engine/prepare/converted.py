"""Copies of radiographs as 8-bit PNGs, which the engine reads: of DICOM files, and of images with inverted greys."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from PIL import Image

from engine.contract.errors import BadInput
from engine.data.images import read_radiograph
from engine.data.manifest import Sample
from engine.prepare.annotations.shapes import Flaw
from engine.prepare.checks import TRUNCATED, Examined, examine
from engine.prepare.dicom import is_dicom, read_dicom
from engine.prepare.mask_values import MaskValues
from engine.prepare.sources import Case, located

IMAGES = "images"


def examine_copy(case: Case, copy: Path, invert: bool, meaning: MaskValues) -> Examined | BadInput:
    """`examine` of the case. If its image is DICOM, or `invert` applies to it, a PNG at `copy` replaces the image."""
    try:
        if is_dicom(case.image):
            pixels, truncated = read_dicom(case.image), False
        elif invert:
            pixels, _, truncated = read_radiograph(case.image)
            pixels = 255 - pixels
        else:
            return examine(case, meaning)
    except BadInput as error:
        return BadInput(located(case, error))
    copy.parent.mkdir(exist_ok=True)
    Image.fromarray(pixels).save(copy, "PNG")
    result = examine(replace(case, image=copy), meaning)
    if truncated and not isinstance(result, BadInput):
        return result._replace(flaws=(Flaw("truncated", f"{case.id}: {TRUNCATED}"), *result.flaws))
    return result


def place_images(staged: Path, output: Path) -> None:
    """Move the copies from `staged` to OUTPUT/images."""
    made = staged / IMAGES
    if made.is_dir():
        (output / IMAGES).mkdir(exist_ok=True)
        for path in made.iterdir():
            path.replace(output / IMAGES / path.name)
        made.rmdir()


def placed(samples: Iterable[Sample], staged: Path, output: Path) -> list[Sample]:
    """The samples with the paths that `place_images` gives their images."""
    made = staged / IMAGES
    return [
        replace(sample, image=output / IMAGES / sample.image.name) if sample.image.parent == made else sample
        for sample in samples
    ]
