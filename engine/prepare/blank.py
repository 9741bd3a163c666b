"""Images without a picture: one grey all over, often because their alpha channel hides everything."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from engine.prepare.annotations.shapes import Flaw
from engine.prepare.sources import Case


def find_blank(case: Case, pixels: NDArray[np.uint8], has_fracture: bool) -> list[Flaw]:
    """The flaw of an image whose decoded pixels all have one grey; if its mask shows a fracture, the mask is lost."""
    if not pixels.size or (pixels != pixels.flat[0]).any():
        return []
    line = f"{case.id}: all pixels have grey {pixels.flat[0]}"
    with Image.open(case.image) as image:
        if image.has_transparency_data:
            line += ": transparent pixels are read as black; save the image without its alpha channel"
    if has_fracture:
        line += "; its mask shows a fracture"
    return [Flaw("one grey", line, int(has_fracture))]
