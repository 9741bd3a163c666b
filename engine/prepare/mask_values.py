"""Which values of a set's mask files mean fracture: one decision for all files, made from the values found in them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from engine.contract.errors import BadInput
from engine.contract.text import clean
from engine.data.images import IGNORED, IGNORED_COMMENT, IGNORED_GREY, Labels, brightest, decoded, image_size, on_black
from engine.process.progress import map_threaded

ARRAY = ".npy"
LARGEST_CLASS = 20
"""Values up to this are class numbers, all of them fracture; higher ones are grey levels."""
SMOOTH = 8
"""At least this many grey levels mean smoothed edges."""
DARK = 32
"""Colours below this are taken for black."""
FULL_SCALE = 65535
"""White of 16-bit files, the same value as 255."""
SHOWN = 8
T = TypeVar("T")

PALETTE, COLOURS, ALPHA, LOSSY = (
    "has a palette whose first colour is not black",
    "has several colours",
    "is black ink that only the alpha channel shows",
    "is a JPEG with no pixel in the upper half of the range, such as 0 and 1 saved as JPEG",
)
REMEDY = {
    PALETTE: "--mask-values 1 (the palette's index) or --mask-values above-half (its brightness)",
    COLOURS: "--mask-values nonzero (all but black) or --mask-values above-half",
    ALPHA: "--mask-values nonzero (all that is not transparent)",
    LOSSY: "--mask-values nonzero or --mask-values above-half; better, lossless masks",
}


@dataclass(frozen=True, slots=True)
class MaskValues:
    """The meaning of mask values, the same for every file of a set."""

    fracture: frozenset[int] | None = None
    """None: every value but 0."""
    above_half: bool = False
    """The upper half of the range instead."""
    ignored: frozenset[int] = frozenset()

    def __str__(self) -> str:
        numbers = ", ".join(map(str, sorted(self.fracture or ())))
        text = "above-half" if self.above_half else numbers or "nonzero"
        return f"fracture: {text}" + "".join(f", ignored: {value}" for value in sorted(self.ignored))

    def read(self, path: Path) -> tuple[Labels, bool]:
        """(the labels, whether they hold no fracture and no ignored pixel although the file's values differ)."""

        def label(image: Image.Image | NDArray[Any]) -> tuple[Labels, bool]:
            values = _values(image).values
            ignored = np.isin(values, _scaled(self.ignored))
            if self.above_half:
                bright, half = (values, _half(values)) if isinstance(image, np.ndarray) else brightest(image)
                fracture = bright >= half
            else:
                fracture = values != 0 if self.fracture is None else np.isin(values, _scaled(self.fracture))
            if ignored.any():
                return np.where(ignored, IGNORED, fracture).astype(np.int8), False
            return fracture, not fracture.any() and values.size > 0 and bool((values != values.flat[0]).any())

        return _open(path, label)


NONZERO = MaskValues()


def decide(paths: Sequence[Path], text: str = "auto", ignore: int | None = None) -> tuple[MaskValues, str]:
    """(the meaning of the values of all these masks, a line about the values found).

    text: auto, nonzero, above-half, or the numbers that mean fracture, such as `1,2`. ignore: the value of ignored
    pixels. Raises BadInput for files that cannot be read, and with auto where the values have more than one likely
    meaning, with the options that decide it.
    """
    problems: list[str] = []
    troubles: dict[str, list[Path]] = defaultdict(list)
    pixels: Counter[float] = Counter()
    lossy = ours = foreign = False
    surveys = map_threaded(lambda index: _survey(paths[index]), len(paths), "mask values")
    for path, found in zip(paths, surveys, strict=True):
        if isinstance(found, BadInput):
            problems += found.lines
            continue
        if found.trouble and text == "auto":
            troubles[found.trouble].append(path)
        else:
            pixels.update(found.pixels)
            lossy |= found.lossy
            ours |= found.ours
            foreign |= IGNORED_GREY in found.pixels and not found.ours
    ignored = frozenset(() if ignore is None else (ignore,))
    numbers = frozenset(int(part) for part in text.split(",") if part.isdecimal())
    values = sorted(value for value in pixels if value and value not in ignored)
    listed = ", ".join(f"{value:g}" for value in sorted(pixels)[:SHOWN]) + " …" * (len(pixels) > SHOWN)
    for trouble, files in troubles.items():
        name = clean(str(files[0]))
        problems.append(f"{name}: the mask {trouble} ({len(files)} of {len(paths)} masks); give {REMEDY[trouble]}")
    smooth = len(values) >= SMOOTH and values[-1] in (1, 255) and max(pixels[v] for v in values) == pixels[values[-1]]
    is_ours = ours and not foreign and set(values) <= {IGNORED_GREY, 255}
    has_classes = not lossy and max(values, default=0) <= LARGEST_CLASS and all(v == int(v) for v in values)
    if text != "auto":
        meaning = MaskValues(numbers or None, text == "above-half", ignored)
    elif is_ours:
        meaning = MaskValues(frozenset({255}), ignored=ignored | {IGNORED_GREY})
    else:
        meaning = MaskValues(above_half=lossy or smooth, ignored=ignored)
    if text == "auto" and not (is_ours or smooth or has_classes or len(values) <= 1):
        first, last = f"{values[0]:g}", f"{values[-1]:g}"
        problems.append(
            f"{clean(str(paths[0].parent))}: the masks hold the values {listed}, which have more than one meaning; "
            f"give --mask-values {first} --ignore-value {last} ({last} does not count), --mask-values {first} "
            f"(only that is fracture), --mask-values nonzero, or --mask-values above-half"
        )
    if problems:
        raise BadInput(problems)
    return meaning, f"values of {len(paths):,} masks: {listed or 'no pixels'}; {meaning}"


def mask_size(path: Path) -> tuple[int, int]:
    """(height, width) of a mask, from the header of an image file. Raises BadInput in one line."""
    if path.suffix.lower() != ARRAY:
        return image_size(path, upright=False)
    height, width = _open(path, lambda values: np.shape(values))
    return height, width


@dataclass(frozen=True, slots=True)
class _Found:
    """The values of a mask file."""

    values: NDArray[Any] = field(repr=False)
    trouble: str | None = None
    """Why they have more than one meaning."""
    lossy: bool = False
    ours: bool = False
    """A mask that a preparation wrote, with ignored pixels."""
    pixels: Counter[float] = field(default_factory=Counter)
    """Pixels by value; of a lossy file only whether its upper half is used, as 255."""


def _survey(path: Path) -> _Found | BadInput:
    def count(image: Image.Image | NDArray[Any]) -> _Found:
        found = _values(image)
        values = found.values
        if found.lossy:
            pixels = Counter({0.0: int((values < 128).sum()), 255.0: int((values >= 128).sum())})
        else:
            levels, counts = np.unique(values, return_counts=True)
            pixels = Counter(dict(zip(levels.tolist(), counts.tolist(), strict=True)))
        pixels = +pixels
        return _Found(np.empty(0), found.trouble, found.lossy, found.ours, pixels)

    try:
        return _open(path, count)
    except BadInput as error:
        return error


def _open(path: Path, use: Callable[[Any], T]) -> T:
    """`use` of the file's image or array. Raises BadInput in one line."""
    if path.suffix.lower() != ARRAY:
        return decoded(path, use)
    name = clean(str(path))
    try:
        values = np.squeeze(np.load(path, allow_pickle=False))
    except (OSError, ValueError, EOFError) as error:
        raise BadInput(f"{name}: cannot be read as an array: {clean(str(error))[:120]}") from None
    if not isinstance(values, np.ndarray) or values.ndim != 2 or values.dtype.kind not in "biuf" or not values.size:
        raise BadInput(f"{name}: expected an array of numbers (rows, columns), got {clean(str(np.shape(values)))}")
    return use(np.nan_to_num(values) if values.dtype.kind == "f" else values.astype(np.int64))


def _half(values: NDArray[Any]) -> float:
    high = values.max()
    return 0.5 if high <= 1 else 128.0 if high <= 255 else 32768.0


def _values(image: Image.Image | NDArray[Any]) -> _Found:
    """The values that a mask file means: a palette's index, the alpha of black ink, else the brightest channel."""
    if isinstance(image, np.ndarray):
        return _Found(image)
    image.load()
    lossy = image.format == "JPEG" or image.info.get("compression") == "jpeg"
    if image.mode == "P" and (found := _of_palette(image)) is not None:
        return found
    if image.mode in ("RGBA", "LA"):
        alpha = np.asarray(image.getchannel("A"))
        ink = np.asarray(image.convert("RGBA"))[..., :3]
        if not ink.any() and (alpha != alpha.flat[0]).any():
            return _Found(alpha, ALPHA)
    values, _ = brightest(image)
    trouble = None
    opaque = on_black(image)
    if opaque.mode not in ("1", "L", "F") and not opaque.mode.startswith("I"):
        trouble = COLOURS if _has_several_hues(np.asarray(opaque.convert("RGB"))) else None
    if lossy and values.max() < 128 and (values != values.flat[0]).any():
        trouble = LOSSY
    ours = image.info.get("Comment") == IGNORED_COMMENT
    full_scale = values.dtype.kind in "iu" and values.dtype.itemsize > 1
    return _Found(np.where(values == FULL_SCALE, 255, values) if full_scale else values, trouble, lossy, ours)


def _scaled(values: Iterable[int]) -> list[int]:
    """The values as `_values` gives them."""
    return [255 if value == FULL_SCALE else value for value in values]


def _has_several_hues(colours: NDArray[Any]) -> bool:
    """Whether the colours (…, 3) that are not nearly black have different channels among their strong ones."""
    strong = colours[colours.max(axis=-1) >= DARK].astype(np.int16)
    return len(np.unique((strong * 2 >= strong.max(axis=1, keepdims=True)) @ np.array([1, 2, 4]))) > 1


def _of_palette(image: Image.Image) -> _Found | None:
    """The indices, or None for many shades of one hue: a smoothed mask that was saved with a palette."""
    indices = np.asarray(image)
    used = np.unique(indices)
    palette = np.zeros((256, 3), int)
    colours = np.array(image.getpalette("RGB") or (), int).reshape(-1, 3)
    palette[: len(colours)] = colours
    if (palette[used] == used[:, None]).all() or (palette[used] == palette[used[0]]).all():
        return _Found(indices)
    if len(used) >= SMOOTH and not _has_several_hues(palette[used]):
        return None
    return _Found(indices, None if palette[0].max() < DARK else PALETTE)
