"""The grey-level window of a set: which stored values of images with more than 8 bits become black and white.

`prepare` measures it over the set and writes it into manifest.yaml beside the manifest. A training copies it into its
run folder as window.yaml, and everything that the run reads later, other data included, is read with that window. Sets
and runs of versions without these files scale every image by its own maximum (see `read_radiograph`).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import yaml

from engine.contract.errors import BadInput
from engine.contract.files import write_whole
from engine.contract.formats import newer
from engine.contract.text import clean
from engine.contract.yaml_file import read_mapping
from engine.data.images import is_deep, stored_values
from engine.process.progress import map_threaded, say

if TYPE_CHECKING:
    from engine.data.manifest import Sample

FORMAT = "xray-manifest/1"
QUANTILES = (0.005, 0.995)
LARGEST_SAMPLE = 200
"""Images that a window is measured over."""
PIXELS = 10_000
"""Pixels drawn from each of them, so that large images weigh no more than small ones."""
LARGEST = 1e12
"""Bound of a window's values."""


class Window(NamedTuple):
    """Stored values from `low` to `high` are mapped linearly to 0…255, others clipped."""

    low: float
    high: float
    images: int
    """Number of images that it was measured over."""


def measure(samples: Sequence[Sample], seed: int) -> Window | None:
    """The window of a set, from a seeded sample of its training images (without any, of all) that have more than 8
    bits; None without such images."""
    deep = [sample for sample in samples if is_deep(sample.image)]
    deep = [sample for sample in deep if sample.split == "train"] or deep
    order = np.random.default_rng(seed).permutation(len(deep))[:LARGEST_SAMPLE]

    def draw(index: int) -> np.ndarray | None:
        values = stored_values(deep[order[index]].image)
        return None if values is None else np.random.default_rng((seed, index)).choice(values.ravel(), PIXELS)

    drawn = [values for values in map_threaded(draw, len(order), "measure the window") if values is not None]
    if not drawn:
        return None
    low, high = (float(value) for value in np.quantile(np.concatenate(drawn), QUANTILES))
    return Window(low, high if high > low else low + 1, len(drawn))


def write_window(path: Path, window: Window | None) -> None:
    """Write a manifest.yaml or window.yaml; without a window there is no such file."""
    if window is None:
        path.unlink(missing_ok=True)
        return
    values = {"format": FORMAT, "window": [window.low, window.high], "images": window.images}
    write_whole(path, yaml.safe_dump(values, sort_keys=False))


def read_window(path: Path) -> Window | None:
    """The window in a manifest.yaml or window.yaml; None without the file. Raises BadInput."""
    if not path.exists():
        return None
    values, name = read_mapping(path), clean(str(path))
    if (reason := newer(values.get("format"), FORMAT)) is not None:
        raise BadInput(f"{name}: {reason}")
    pair, images = values.get("window"), values.get("images")
    numbers = [n for n in pair if type(n) in (int, float) and abs(n) < LARGEST] if isinstance(pair, list) else []
    if len(numbers) != 2 or numbers != pair or numbers[0] >= numbers[1]:
        raise BadInput(f"{name}: window: expected [low, high], two numbers, the lower first")
    return Window(float(numbers[0]), float(numbers[1]), images if isinstance(images, int) else 0)


def report_missing(samples: Sequence[Sample]) -> None:
    """Print a line where images with more than 8 bits have no window."""
    if count := sum(sample.window is None and is_deep(sample.image) for sample in samples):
        say(
            f"{count} of {len(samples)} images have more than 8 bits and no common window: each is scaled by its own "
            "maximum, as in earlier versions; prepare the set again and train a new run to use one"
        )
