"""Radiographs and masks from files: PNG, JPEG, TIFF or BMP of any depth and colour, as grey 8-bit arrays."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from engine.contract.errors import BadInput
from engine.contract.text import clean
from engine.data.file_kinds import describe

FORMATS = ("PNG", "JPEG", "TIFF", "BMP")
SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp"})
LARGEST_PIXELS = 120_000_000
"""Three times the largest detector; a larger image is treated as a decompression bomb."""

DEPTHS = (8, 10, 12, 14, 16)
END_OF_JPEG = b"\xff\xd9"
PHOTOMETRIC = 262
MIN_IS_WHITE = 0
IGNORED = -1
"""Label of a pixel that counts in neither loss nor metrics."""
IGNORED_GREY = 128
"""Grey level of such a pixel in our mask files."""
IGNORED_COMMENT = "128: ignored"
"""PNG comment of our mask files with such pixels."""
Labels = NDArray[np.bool_] | NDArray[np.int8]
"""A mask: bool (True: fracture), or int8 (1: fracture, 0: none, -1: ignored) where it has ignored pixels."""
T = TypeVar("T")

# read_radiograph has its own limit and messages; Pillow's would break a progress line.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")


class Radiograph(NamedTuple):
    """A decoded image, (height, width), grey, upright; whether an EXIF rotation was applied; and whether the file is
    cut short, with its missing rows as the decoder left them."""

    pixels: NDArray[np.uint8]
    turned: bool
    truncated: bool


def read_image(path: Path, window: Sequence[float] | None = None) -> NDArray[np.uint8]:
    """The radiograph as (height, width), grey, uint8, EXIF rotation applied. Errors: see `read_radiograph`."""
    return read_radiograph(path, window).pixels


def read_radiograph(path: Path, window: Sequence[float] | None = None) -> Radiograph:
    """The radiograph, with what was found while decoding it.

    Colour becomes luma (ITU-R 601), transparent pixels become black, and of several frames the first is read. A JPEG
    that is cut short is read up to that point. EXIF data of a PNG count only before the pixels.

    More than 8 bits are mapped by the `window` of the set: from its first value to its second linearly to 0…255, others
    clipped. Without a window they are shifted down by whole bits: by the smallest of 8, 10, 12, 14, 16 bits that holds
    the brightest pixel (most 16-bit files made from DICOM use 12), and values outside a detector's range (negative,
    beyond 16 bits) are stretched. Floats from 0 to 1 are always multiplied by 255.

    Raises BadInput in one line: no such file, no image, cut short (other than JPEG), too many pixels.
    """

    def decode(image: Image.Image) -> tuple[NDArray[np.uint8], int]:
        orientation = _orientation(image)
        if image.format == "JPEG":
            image.draft("L", image.size)  # JPEG stores luma: colour is not decoded
        grey = _grey(image, window)
        if orientation == 1:
            return grey, 1
        upright = Image.fromarray(grey)
        upright.getexif()[ExifTags.Base.Orientation] = orientation
        return np.asarray(ImageOps.exif_transpose(upright)), orientation

    truncated = False
    try:
        pixels, orientation = _read(path, decode)
    except _CutShort as cut:
        truncated = True
        try:
            pixels, orientation = _read(path, decode, end=END_OF_JPEG)
        except _CutShort:
            raise BadInput(str(cut)) from None
    return Radiograph(pixels, orientation != 1, truncated)


def read_mask(path: Path) -> NDArray[np.bool_]:
    """The pixels of `read_labels` that belong to the fracture, (height, width), bool."""
    return read_labels(path) > 0


def read_labels(path: Path) -> Labels:
    """The mask as (height, width). EXIF rotations are not applied: masks are drawn on the upright image.

    A pixel belongs to the mask where its brightest channel is in the upper half of the range. If no pixel of a lossless
    file is, the values are classes (0, 1, 2 …) and all but 0 belong to the mask. In a grey 8-bit file of 0, 128 and 255
    only, 128 is ignored; without any 255 it needs our comment, because 128 may be the fracture.

    Raises BadInput in one line: no such file, no image, cut short, too many pixels.
    """

    def decode(image: Image.Image) -> Labels:
        lossy = image.format == "JPEG"
        values, half = brightest(image)
        if image.mode == "L" and not lossy and (ignored := values == IGNORED_GREY).any():
            white = values == 255
            is_ours = white.any() or image.info.get("Comment") == IGNORED_COMMENT
            if is_ours and (ignored | white | (values == 0)).all():
                return np.where(ignored, IGNORED, white).astype(np.int8)
        return values >= half if lossy or not values.size or values.max() >= half else values > 0

    return decoded(path, decode)


def decoded(path: Path, decode: Callable[[Image.Image], T]) -> T:
    """`decode` of the file's image. Raises BadInput in one line: no such file, no image, cut short, too many pixels."""
    try:
        return _read(path, decode)
    except _CutShort as cut:
        raise BadInput(str(cut)) from None


def is_deep(path: Path) -> bool:
    """Whether the image has more than 8 bits, from the header only. Errors: see `image_size`."""
    return _read(path, _has_more_than_8_bits)


def stored_values(path: Path) -> NDArray[Any] | None:
    """The values (height, width) of an image with more than 8 bits, not turned and not inverted; None for floats from 0
    to 1. Raises BadInput in one line."""
    values = _read(path, lambda image: _finite(np.asarray(image)))
    return None if _is_unit(values) else values


def image_size(path: Path, *, upright: bool = True) -> tuple[int, int]:
    """(height, width) from the header only, of `read_image`'s result or, with upright=False, of `read_mask`'s.

    Raises BadInput in one line: no such file, no image, too many pixels.
    """

    def size(image: Image.Image) -> tuple[int, int]:
        width, height = image.size
        sideways = upright and _orientation(image) >= 5
        return (width, height) if sideways else (height, width)

    return _read(path, size)


class _CutShort(Exception):
    """A JPEG whose pixel data end too early; the message is an error line."""


def _read(path: Path, decode: Callable[[Image.Image], T], end: bytes = b"") -> T:
    """`decode` of the file's image (with `end` appended). Errors of damaged or hostile files become one line."""
    name = clean(str(path))
    too_many = f"expected at most {LARGEST_PIXELS // 1_000_000} million"
    try:
        if not path.is_file():
            raise BadInput(f"{name}: no such file")
        # Open a file instead of the path: from a path Pillow maps plain TIFFs into memory and garbles turned ones.
        with (
            path.open("rb") as file,
            Image.open(io.BytesIO(file.read() + end) if end else file, formats=FORMATS) as image,
        ):
            width, height = image.size
            if width * height > LARGEST_PIXELS:
                raise BadInput(f"{name}: {width} x {height} pixels; {too_many}")
            try:
                return decode(image)
            except (OSError, SyntaxError) as error:
                if image.format == "JPEG":
                    raise _CutShort(f"{name}: cannot be decoded: {_cause(error)}") from error
                raise
    except (BadInput, _CutShort, MemoryError):
        raise
    except Image.DecompressionBombError:
        raise BadInput(f"{name}: far too large; {too_many}") from None
    except UnidentifiedImageError:
        raise BadInput(f"{name}: {describe(path)}; expected PNG, JPEG, TIFF or BMP") from None
    except Exception as error:  # decoders raise any exception on damaged data
        raise BadInput(f"{name}: cannot be decoded: {_cause(error)}") from None


def _cause(error: Exception) -> str:
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return clean(str(text).split("\n")[0])[:200]


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation that remains to be applied, 1 to 8. Pillow turns TIFFs itself."""
    if image.format == "TIFF" or (image.format == "PNG" and "exif" not in image.info):
        return 1
    orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    return orientation if orientation in range(1, 9) else 1


def _has_more_than_8_bits(image: Image.Image) -> bool:
    return image.mode == "F" or image.mode.startswith("I")


def _grey(image: Image.Image, window: Sequence[float] | None) -> NDArray[np.uint8]:
    image.load()
    if _has_more_than_8_bits(image):
        tags: Any = getattr(image, "tag_v2", {})  # Pillow inverts a TIFF itself up to 8 bits
        inverted = image.format == "TIFF" and tags.get(PHOTOMETRIC) == MIN_IS_WHITE
        pixels = _to_8_bits(_finite(np.asarray(image)), window)
        return 255 - pixels if inverted else pixels
    return np.asarray(on_black(image).convert("L"))


def on_black(image: Image.Image) -> Image.Image:
    """The image without transparency, composed onto black."""
    if not image.has_transparency_data:
        return image
    colours = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, (0, 0, 0, 255)), colours).convert("RGB")


def _finite(values: NDArray[Any]) -> NDArray[Any]:
    """Floats without NaN and infinity, which become 0; other values unchanged."""
    if values.dtype.kind != "f":
        return values
    return np.nan_to_num(values.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)


def _is_unit(values: NDArray[Any]) -> bool:
    """Whether the values are floats from 0 to 1."""
    return values.dtype.kind == "f" and bool(((values >= 0.0) & (values <= 1.0)).all())


def _to_8_bits(values: NDArray[Any], window: Sequence[float] | None) -> NDArray[np.uint8]:
    """Finite grey levels of any depth as 8 bits, by the rule in `read_radiograph`."""
    low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 0.0)
    if _is_unit(values):
        grey = np.rint(values * 255.0)
    elif window is not None:
        low, high = window[:2]
        grey = np.rint(np.clip((values.astype(np.float32) - low) * (255.0 / (high - low)), 0.0, 255.0))
    elif low < 0.0 or high >= 1 << DEPTHS[-1]:
        grey = (values.astype(np.float64) - low) * (255.0 / max(high - low, 1e-12))
    else:
        depth = next(bits for bits in DEPTHS if high < 1 << bits)
        grey = values.astype(np.uint16) >> (depth - 8)
    return grey.astype(np.uint8)


def brightest(image: Image.Image) -> tuple[NDArray[Any], float]:
    """The brightest channel of each pixel, and the middle of its range."""
    image.load()
    if image.mode == "F":
        values = np.nan_to_num(np.asarray(image))
        return values, 0.5 if values.size and values.max() <= 1.0 else 128.0
    if image.mode.startswith("I"):
        return np.asarray(image), 32768.0
    opaque = on_black(image)
    if opaque.mode in ("1", "L"):
        return np.asarray(opaque.convert("L")), 128.0
    return np.asarray(opaque.convert("RGB")).max(axis=2), 128.0
