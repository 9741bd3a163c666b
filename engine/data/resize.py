"""Between an image's own size and the network's square."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image

from engine.data.images import IGNORED, Labels

RULE = 1
"""Number of the rule by which images become inputs, part of the key of cached predictions. Raise it with a change."""

Grey = npt.NDArray[np.uint8]
Probabilities = npt.NDArray[np.float32]


def content_size(height: int, width: int, size: int, keep_aspect: bool) -> tuple[int, int]:
    """(rows, columns) that the image covers in the network's size x size square; the rest is padding, below and to the
    right."""
    if not keep_aspect:
        return size, size
    scale = size / max(height, width)
    return max(1, round(height * scale)), max(1, round(width * scale))


def image_to_input(image: Grey, size: int, keep_aspect: bool) -> Grey:
    """(H, W) -> (size, size), antialiased."""
    height, width = image.shape
    rows, columns = content_size(height, width, size, keep_aspect)
    resized = Image.fromarray(image).resize((columns, rows), Image.Resampling.BILINEAR)
    return np.pad(np.asarray(resized), ((0, size - rows), (0, size - columns)))


def mask_to_input(mask: Labels, size: int, keep_aspect: bool) -> Labels:
    """(H, W) -> (size, size): a pixel belongs to the mask where at least half of its area does. A mask too thin for
    that keeps its fullest pixels, so that a positive image never becomes a negative one. Ignored pixels are resized by
    nearest; the fracture wins where both claim a pixel."""
    height, width = mask.shape
    rows, columns = content_size(height, width, size, keep_aspect)
    if mask.dtype != np.bool_:
        fracture = mask_to_input(mask > 0, size, keep_aspect)
        ignored = Image.fromarray(mask < 0).resize((columns, rows), Image.Resampling.NEAREST)
        padded = np.pad(np.asarray(ignored), ((0, size - rows), (0, size - columns)))
        return np.where(padded & ~fracture, IGNORED, fracture).astype(np.int8)
    area = np.asarray(Image.fromarray(mask.astype(np.uint8) * 255).resize((columns, rows), Image.Resampling.BOX))
    if not area.any() and mask.any():  # below one grey level: mark the centre of the mask
        y, x = (int(axis.mean()) for axis in np.nonzero(mask))
        area = area.copy()
        area[min(rows - 1, y * rows // mask.shape[0]), min(columns - 1, x * columns // mask.shape[1])] = 255
    level = min(128, int(area.max())) if area.any() else 128
    return np.pad(area >= level, ((0, size - rows), (0, size - columns)))


def to_native(content: Probabilities, height: int, width: int) -> Probabilities:
    """A probability map without padding at the image's own size, bilinear."""
    if content.shape == (height, width):
        return content
    return np.asarray(Image.fromarray(content).resize((width, height), Image.Resampling.BILINEAR))
