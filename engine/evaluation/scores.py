"""Pixel counts of a split at every threshold, at native and at input size, and presence scores, in one pass."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from engine.contract.errors import BadInput
from engine.data.images import Labels, image_size, read_labels
from engine.data.inputs import size_problem
from engine.data.manifest import Sample
from engine.data.resize import Probabilities as Map
from engine.data.resize import content_size, mask_to_input, to_native
from engine.evaluation.metrics import Confusion
from engine.evaluation.presence import HEAD, OF_AREA, map_scores
from engine.process.progress import map_threaded

LEVELS = 65535
"""Probabilities are stored as 16-bit integers: p = level / 65535."""

Levels = npt.NDArray[np.uint16]
V = TypeVar("V", bound=np.generic)

MapOf = Callable[[int, int, int], Map]
"""(index, native height, native width) -> the probability map at the network's size, without padding."""


def quantise(probabilities: npt.NDArray[np.float32]) -> Levels:
    """0…1 -> 0…65535, rounded."""
    return np.rint(np.clip(probabilities, 0, 1) * LEVELS).astype(np.uint16)


def dequantise(levels: Levels) -> npt.NDArray[np.float32]:
    """0…65535 -> 0…1."""
    return levels.astype(np.float32) / np.float32(LEVELS)


def counts_at(
    levels: Levels, mask: Labels, thresholds: npt.ArrayLike
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """(tp, fp, fn) at every threshold, arrays (T,); a pixel is predicted where p >= threshold. Histograms of the levels
    inside and outside the mask are summed from above, so the cost does not depend on T. Ignored pixels do not count."""
    levels, mask = counted_values(levels, mask), counted_values(mask == 1, mask)
    lowest = np.ceil(np.asarray(thresholds, np.float64) * LEVELS - 1e-6)  # the first level at or above each threshold
    first = np.clip(lowest, 0, LEVELS + 1).astype(np.int64)
    inside = np.bincount(levels[mask], minlength=LEVELS + 2)
    everywhere = np.bincount(levels.ravel(), minlength=LEVELS + 2)
    at_or_above = np.cumsum(everywhere[::-1])[::-1]
    tp = np.cumsum(inside[::-1])[::-1][first]
    return tp, at_or_above[first] - tp, int(mask.sum()) - tp


def counted_values(values: npt.NDArray[V], mask: Labels) -> npt.NDArray[V]:
    """The values at the pixels that count: all as they are, or, of a mask with ignored pixels, the others (P,). A mask
    that ignores everything gives a single 0."""
    if mask.dtype == np.bool_:
        return values
    return values[mask >= 0] if (mask >= 0).any() else np.zeros(1, values.dtype)


def counted_pixels(mask: Labels) -> int:
    """The number of these pixels."""
    return counted_values(mask == 1, mask).size


@dataclass(frozen=True, slots=True)
class SplitScores:
    """Counts and scores of a split, from which metrics and choices are computed."""

    ids: tuple[str, ...]
    groups: tuple[str | None, ...]
    fractured: npt.NDArray[np.bool_]
    thresholds: npt.NDArray[np.float64]
    native: Confusion
    input: Confusion
    """Both at every threshold."""
    presence: dict[str, npt.NDArray[np.float64]]
    """(N,) for each source that does not depend on the threshold: those of the map, and the head's if there is one."""

    def presence_scores(self, source: str, index: int) -> npt.NDArray[np.float64]:
        """The scores (N,) of a source at a threshold."""
        if source in OF_AREA:
            return OF_AREA[source](self.input.tp[:, index] + self.input.fp[:, index], self.input.pixels)
        return self.presence[source]


def native_mask(sample: Sample) -> Labels:
    """The mask at the image's own size, all False without a mask file. Raises BadInput for a mask of another size."""
    shape = image_size(sample.image)
    if sample.mask is None:
        return np.zeros(shape, np.bool_)
    mask = read_labels(sample.mask)
    if mask.shape != shape:
        raise BadInput(size_problem(sample, shape, mask.shape))
    return mask


def score_split(
    samples: Sequence[Sample],
    map_of: MapOf,
    size: int,
    keep_aspect: bool,
    thresholds: npt.NDArray[np.float64],
    presence: npt.NDArray[np.float64] | None,
    what: str,
) -> SplitScores:
    """Score the samples. `presence` (N,): the classification head's scores; `what`: name of the split for the
    progress."""

    def score(index: int) -> tuple[object, ...]:
        mask = native_mask(samples[index])
        height, width = mask.shape
        rows, columns = content_size(height, width, size, keep_aspect)
        content = map_of(index, height, width)
        native = counts_at(quantise(to_native(content, height, width)), mask, thresholds)
        small = mask_to_input(mask, size, keep_aspect)[:rows, :columns]
        of_input = counts_at(quantise(content), small, thresholds)
        shown = map_scores(counted_values(content, small))
        return native, counted_pixels(mask), of_input, counted_pixels(small), shown

    per_image = list(map_threaded(score, len(samples), f"score {what}"))
    natives, native_pixels, inputs, input_pixels, maps = zip(*per_image, strict=True)
    sources = {name: np.array([scores[name] for scores in maps]) for name in maps[0]}
    if presence is not None:
        sources = {HEAD: presence, **sources}
    return SplitScores(
        ids=tuple(sample.id for sample in samples),
        groups=tuple(sample.group for sample in samples),
        fractured=np.array([sample.fractured for sample in samples], np.bool_),
        thresholds=thresholds,
        native=_stacked(natives, native_pixels),
        input=_stacked(inputs, input_pixels),
        presence=sources,
    )


def _stacked(counts: Sequence[tuple[npt.NDArray[np.int64], ...]], pixels: Sequence[int]) -> Confusion:
    tp, fp, fn = (np.stack(values) for values in zip(*counts, strict=True))
    return Confusion(tp, fp, fn, np.array(pixels, np.int64))
