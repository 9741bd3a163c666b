"""Cached probabilities: predictions/<split>_<tta>/ of a run folder, made once a checkpoint, read by all that scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from engine.contract import names
from engine.contract.errors import BadInput
from engine.contract.files import write_json
from engine.contract.text import clean
from engine.data.geometry import content_size
from engine.data.manifest import Sample, fingerprint
from engine.evaluation.cache import INDEX, Index, read_index
from engine.evaluation.counts import Levels, dequantise, quantise
from engine.evaluation.trained import Run, answers, device_of
from engine.folders import made_whole, new_array, open_array

ARRAY = "probabilities.npy"


@dataclass(frozen=True, slots=True)
class Probabilities:
    """What a run says of some samples, in their order."""

    samples: tuple[Sample, ...]
    levels: npt.NDArray[np.uint16]
    """(N, S, S): p = level / 65535, at the network's size."""
    presence: npt.NDArray[np.float64] | None
    """(N,): the classification head's probability; None without one."""
    keep_aspect: bool
    fingerprint: str
    """Of the samples' data."""
    device: str
    """What they were computed on, and in which precision."""

    @property
    def size(self) -> int:
        return int(self.levels.shape[1])

    def in_order_of(self, samples: Sequence[Sample]) -> Probabilities:
        """The same, with the images in the order of these samples, whose ids are the same."""
        place = {sample.id: index for index, sample in enumerate(self.samples)}
        order = [place[sample.id] for sample in samples]
        if order == list(range(len(order))):
            return self
        presence = None if self.presence is None else self.presence[order]
        return replace(
            self, samples=tuple(self.samples[i] for i in order), levels=self.levels[order], presence=presence
        )

    def content(self, index: int, height: int, width: int) -> npt.NDArray[np.float32]:
        """The probability map of an image of that native size, padding cut off."""
        rows, columns = content_size(height, width, self.size, self.keep_aspect)
        return dequantise(self.levels[index, :rows, :columns])


def split_probabilities(run: Run, split: str, tta: str, batch_size: int) -> Probabilities:
    """The run's probabilities on a split of its own manifest, from the cache where checkpoint and data are the same."""
    cache = run.folder / names.PREDICTIONS / f"{split}_{tta}"
    return probabilities(run, run.samples(split), run.manifest, tta, batch_size, cache)


def probabilities(
    run: Run, samples: Sequence[Sample], manifest: Path, tta: str, batch_size: int, cache: Path | None
) -> Probabilities:
    """The run's probabilities on samples of a manifest; `cache`: the folder to take them from or keep them in. Raises
    BadInput for a classifier."""
    if run.is_classifier:
        raise BadInput(f"{clean(str(run.folder))}: kind: {run.config.kind}; it has a presence score and no masks")
    data = fingerprint(samples)
    size = run.config.data.image_size
    shape = (len(samples), size, size)
    index = Index(run.sha256, data, tta, tuple(sample.id for sample in samples))
    found = _read(cache, index, shape) if cache is not None else None
    if found is not None:
        levels, presence, device = found
    elif cache is None:
        levels = np.empty(shape, np.uint16)
        presence, device = _predict(run, samples, manifest, tta, batch_size, levels)
    else:
        with made_whole(cache) as making:
            mapped = new_array(making / ARRAY, np.uint16, shape)
            presence, device = _predict(run, samples, manifest, tta, batch_size, mapped)
            write_json(making / INDEX, index.with_answers(presence, device))
        levels = open_array(cache / ARRAY)
    scores = None if presence is None else np.array(presence, np.float64)
    return Probabilities(tuple(samples), levels, scores, run.config.data.keep_aspect, data, device)


def _read(cache: Path, index: Index, shape: tuple[int, ...]) -> tuple[Levels, list[float] | None, str] | None:
    """The cached arrays where the index says that they are of the same checkpoint, data and views."""
    kept = read_index(cache, index)
    if kept is None:
        return None
    try:
        levels = open_array(cache / ARRAY)
    except (OSError, ValueError):
        return None
    return (levels, *kept) if levels.shape == shape else None


def _predict(
    run: Run, samples: Sequence[Sample], manifest: Path, tta: str, batch_size: int, out: Levels
) -> tuple[list[float] | None, str]:
    """Fill `out` (N, S, S) with levels; the classification head's probabilities or None, and the device's name."""
    device = device_of(run)
    presence: list[float] | None = None
    for start, maps, scores in answers(run, samples, manifest, tta, batch_size, device):
        assert maps is not None, "only a classifier has none"
        out[start : start + len(maps)] = quantise(maps)
        if scores is not None:
            presence = (presence or []) + scores.astype(float).tolist()
    return presence, f"{device.name}, float32"
