"""A run's predictions of a split: probability maps and presence scores, cached in the run folder.

They are made once for each checkpoint, data and TTA, and read by evaluation, blending and the search for thresholds.
"""

from __future__ import annotations

import errno
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from engine.contract import names
from engine.contract.errors import BadInput
from engine.contract.load import load_nnunet_config
from engine.contract.nnunet import NnunetDataConfig
from engine.contract.text import clean
from engine.data.arrays import new_array, open_array
from engine.data.manifest import Sample, fingerprint
from engine.data.moved import check_manifest
from engine.data.resize import content_size
from engine.data.splits import read_samples
from engine.evaluation.config_check import prediction_digest
from engine.evaluation.prediction_cache import ARRAY, Cached, cache_key, checkpoint_of, read_predictions, write_index
from engine.evaluation.run import Run, device_of, predict_samples
from engine.evaluation.scores import Levels, dequantise, quantise
from engine.process.folders import made_whole

NNUNET_VIEWS = ("mirror", "none")
"""nnU-Net's TTA modes, the preferred one first."""


@dataclass(frozen=True, slots=True)
class Predictions:
    """A run's predictions for some samples, in their order."""

    samples: tuple[Sample, ...]
    levels: Levels | None
    """(N, S, S): p = level / 65535, at the network's size; None for a classifier."""
    presence: npt.NDArray[np.float64] | None
    """(N,): probability from the classification head or the classifier; None without one."""
    keep_aspect: bool
    fingerprint: str
    """Fingerprint of the samples' data."""
    device: str
    """Device and precision with which they were computed."""

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(sample.id for sample in self.samples)

    @property
    def groups(self) -> tuple[str | None, ...]:
        return tuple(sample.group for sample in self.samples)

    @property
    def fractured(self) -> npt.NDArray[np.bool_]:
        return np.array([sample.fractured for sample in self.samples], np.bool_)

    @property
    def size(self) -> int:
        assert self.levels is not None, "a classifier has no maps"
        return int(self.levels.shape[1])

    def in_order_of(self, samples: Sequence[Sample]) -> Predictions:
        """The same predictions in the order of these samples, whose ids are the same."""
        index_of = {sample.id: index for index, sample in enumerate(self.samples)}
        order = [index_of[sample.id] for sample in samples]
        if order == list(range(len(order))):
            return self
        levels = None if self.levels is None else self.levels[order]
        presence = None if self.presence is None else self.presence[order]
        return replace(self, samples=tuple(samples), levels=levels, presence=presence)

    def content(self, index: int, height: int, width: int) -> npt.NDArray[np.float32]:
        """The probability map of an image of that native size, without padding."""
        assert self.levels is not None, "a classifier has no maps"
        rows, columns = content_size(height, width, self.size, self.keep_aspect)
        return dequantise(self.levels[index, :rows, :columns])


def predict_split(run: Run, split: str, tta: str, batch_size: int) -> Predictions:
    """The run's predictions for a split of its own manifest, cached in the run folder."""
    cache = run.folder / names.PREDICTIONS / f"{split}_{tta}"
    return predict(run, run.samples(split), run.manifest, tta, batch_size, cache)


def predict(
    run: Run, samples: Sequence[Sample], manifest: Path, tta: str, batch_size: int, cache: Path | None = None
) -> Predictions:
    """The run's predictions for samples of a manifest; without a `cache` folder they stay in memory."""
    size = run.config.data.image_size
    shape = None if run.is_classifier else (len(samples), size, size)
    key = cache_key(run.sha256, fingerprint(samples), tta, (sample.id for sample in samples))
    key["config"] = prediction_digest(run.config)
    key["window"] = None if samples[0].window is None else list(samples[0].window[:2])
    cached: Cached | None
    if cache is None:
        cached = _predict(
            run, samples, manifest, tta, batch_size, None if shape is None else np.empty(shape, np.uint16)
        )
    elif (cached := read_predictions(cache, key, shape)) is None:
        try:
            with made_whole(cache) as making:
                mapped = None if shape is None else new_array(making / ARRAY, np.uint16, shape)
                cached = _predict(run, samples, manifest, tta, batch_size, mapped)
                write_index(making, key, cached.presence, cached.device)
            if shape is not None:
                cached = cached._replace(levels=open_array(cache / ARRAY))
        except OSError as error:
            if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT):
                raise
            print(f"{clean(str(cache))}: predictions are not cached: {error.strerror}", flush=True)
            return predict(run, samples, manifest, tta, batch_size)
    presence = None if cached.presence is None else np.array(cached.presence, np.float64)
    return Predictions(tuple(samples), cached.levels, presence, run.config.data.keep_aspect, key["data"], cached.device)


def _predict(
    run: Run, samples: Sequence[Sample], manifest: Path, tta: str, batch_size: int, levels: Levels | None
) -> Cached:
    """Predict the samples, and fill `levels` (N, S, S) with the maps."""
    device = device_of(run)
    presence: list[float] = []
    for start, maps, scores in predict_samples(run, samples, manifest, tta, batch_size, device):
        if levels is not None and maps is not None:
            levels[start : start + len(maps)] = quantise(maps)
        if scores is not None:
            presence += scores.astype(float).tolist()
    return Cached(levels, presence or None, f"{device.name}, float32")


@dataclass(frozen=True, slots=True)
class NnunetPredictions:
    """An nnU-Net run as a blend member: its cached probabilities of val and test. Its network is not needed."""

    folder: Path
    data: NnunetDataConfig
    view: str
    """The TTA mode of the probabilities."""
    sha256: str
    """SHA-256 of the checkpoint that made them."""

    @property
    def checkpoint(self) -> Path:
        """The path that a blend's artifact records for this member: its probabilities."""
        return self.folder / names.PREDICTIONS / f"test_{self.view}"

    def predictions(self, split: str) -> Predictions:
        """The probabilities of a split of its manifest. Raises BadInput where the data have changed since."""
        samples = [sample for sample in read_samples(self.data, self.folder) if sample.split == split]
        folder = self.folder / names.PREDICTIONS / f"{split}_{self.view}"
        key = cache_key(self.sha256, fingerprint(samples), self.view, (sample.id for sample in samples))
        size = self.data.image_size
        cached = read_predictions(folder, key, (len(samples), size, size))
        if cached is None:
            name = clean(str(folder))
            raise BadInput(f"{name}: not of the data in {clean(self.data.manifest)}; evaluate the run again")
        return Predictions(tuple(samples), cached.levels, None, True, key["data"], cached.device)


def open_nnunet_predictions(folder: Path) -> NnunetPredictions:
    """The predictions of an nnU-Net run. Raises BadInput in one line where val and test are not predicted yet."""
    config = load_nnunet_config(folder / names.CONFIG)
    check_manifest(folder, config.data.manifest)
    for view in NNUNET_VIEWS:
        checkpoints = {checkpoint_of(folder / names.PREDICTIONS / f"{split}_{view}") for split in ("val", "test")}
        if len(checkpoints) == 1 and (sha256 := checkpoints.pop()) is not None:
            return NnunetPredictions(folder, config.data, view, sha256)
    name = clean(str(folder))
    raise BadInput(f"{name}: no probabilities of val and test yet; run xray-engine evaluate --run {name} first")
