"""Checks of radiographs and masks: of one decoded case, and of all prepared samples together."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from engine.contract.errors import BadInput
from engine.contract.text import clean
from engine.data.images import IGNORED_COMMENT, IGNORED_GREY, Labels, image_size, read_radiograph
from engine.data.manifest import SPLITS, Sample
from engine.prepare.annotations.draw import draw_shapes
from engine.prepare.annotations.shapes import Flaw
from engine.prepare.blank import find_blank
from engine.prepare.dicom import dicom_size, is_dicom
from engine.prepare.mask_values import NONZERO, MaskValues, mask_size
from engine.prepare.sources import Case, located

if TYPE_CHECKING:
    import pandas as pd


INVERTED = 0.5
"""A mask with a larger share of fracture is likely inverted."""
EMPTIED = "mask emptied"
TRUNCATED = "the JPEG is cut short, read up to that point"


class Examined(NamedTuple):
    """A decoded case: the hash of its size and pixels, and its mask as a PNG of 0, 255 and 128 (ignored) at the
    upright image's size, without bytes where the mask is empty or missing."""

    case: Case
    digest: bytes
    mask: bytes
    fractured: bool
    """Whether the mask shows a fracture."""
    flaws: tuple[Flaw, ...]


def header_problems(case: Case) -> list[str]:
    """Problems visible in the file headers: no image, or a mask (or annotated picture) of another size."""
    try:
        height, width = (dicom_size if is_dicom(case.image) else image_size)(case.image)
        size: tuple[float, float] | None = None
        name = f"the annotation of {clean(case.image.name)}"
        if isinstance(case.mask, Path):
            size, name = mask_size(case.mask), clean(str(case.mask))
        elif case.mask and case.mask.height and case.mask.width:
            size = case.mask.height, case.mask.width
        if size is None or size == (height, width):
            return []
        problem = f"{name}: expected {width} x {height} pixels like its image (upright), got {size[1]:g} x {size[0]:g}"
        return [f"{case.where}: {problem}"]
    except BadInput as error:
        return located(case, error)


def examine(case: Case, meaning: MaskValues = NONZERO) -> Examined | BadInput:
    """Decode the case. meaning: of the values of mask files. BadInput is returned instead of raised, so that all errors
    can be listed."""
    try:
        radiograph = read_radiograph(case.image)
        height, width = radiograph.pixels.shape
        flaws = []
        if radiograph.truncated:
            flaws.append(Flaw("truncated", f"{case.id}: {TRUNCATED}"))
        if radiograph.turned:
            flaws.append(Flaw("rotated", f"{case.id}: has an EXIF rotation, turned to {width} x {height}"))
        mask: Labels = np.zeros((height, width), bool)
        if isinstance(case.mask, Path):
            mask, is_emptied = meaning.read(case.mask)
            if is_emptied:
                line = f"{case.id}: the mask has several values, but no pixel is fracture ({meaning})"
                flaws.append(Flaw(EMPTIED, line, 1))
            if (mask > 0).sum() > INVERTED * max(1, (mask >= 0).sum()):
                flaws.append(Flaw("inverted mask", f"{case.id}: most of the picture is fracture; is it inverted?", 1))
        elif case.mask:
            mask, drawn_flaws = draw_shapes(case.mask, height, width, case.id)
            flaws += drawn_flaws
    except BadInput as error:
        return BadInput(located(case, error))
    digest = hashlib.blake2b(f"{height} {width} ".encode() + radiograph.pixels.tobytes(), digest_size=16).digest()
    flaws += find_blank(case, radiograph.pixels, bool((mask > 0).any()))
    png = io.BytesIO()
    if mask.any():
        greys, comment = (mask > 0).astype(np.uint8) * 255, PngInfo()
        if (mask < 0).any():
            greys[mask < 0] = IGNORED_GREY
            comment.add_text("Comment", IGNORED_COMMENT)
        Image.fromarray(greys).save(png, "PNG", pnginfo=comment)
    return Examined(case, digest, png.getvalue(), bool((mask > 0).any()), tuple(flaws))


def set_flaws(samples: Sequence[Sample], digests: Sequence[bytes]) -> Iterator[Flaw]:
    """Flaws of the set: duplicates, groups across splits, splits without a class. digests: of each sample's pixels, in
    the same order."""
    import pandas as pd

    table = pd.DataFrame(samples).assign(digest=digests)
    copies = table[table.digest.duplicated(keep=False)]
    for _, same in copies.groupby("digest", sort=False):
        listed = ", ".join(f"{s.id} ({s.split}, {'' if s.fractured else 'not '}fractured)" for s in same.itertuples())
        across, differ = same.split.nunique() > 1, same.fractured.nunique() > 1
        kind = "duplicate, other label" if differ else "duplicate across splits" if across else "duplicate"
        listed += "; across splits" * across + "; with different labels" * differ
        yield Flaw(kind, f"identical pixels: {listed}")
    for group, splits in table.groupby("group", sort=False).split.unique().items():
        if len(splits) > 1:
            named = " and ".join(split for split in SPLITS if split in splits)
            yield Flaw("group across splits", f"group {clean(group)} is in {named}: scores there are too good")
    for split, count in split_counts(samples).iterrows():
        for fractured, word in ((True, "fractured"), (False, "unfractured")):
            if not count[fractured]:
                yield Flaw("empty class", f"{split} has no {word} image: some metrics cannot be computed there")


def split_counts(samples: Sequence[Sample]) -> pd.DataFrame:
    """The number of images by split (rows) and by fractured (columns False, True)."""
    import pandas as pd

    table = pd.DataFrame([(sample.split, sample.fractured) for sample in samples], columns=["split", "fractured"])
    return pd.crosstab(table.split, table.fractured).reindex(index=SPLITS, columns=[False, True], fill_value=0)
