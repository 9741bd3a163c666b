"""A run's predictions of a split: probability maps and presence scores, cached in the run folder.

They are made once for each checkpoint, data and TTA, and read by evaluation, blending and the search for thresholds.
"""

from __future__ import annotations

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
from engine.contract.yaml_file import read_mapping
from engine.data.arrays import new_array, open_array
from engine.data.manifest import Sample, fingerprint
from engine.data.moved import check_manifest
from engine.data.resize import content_size
from engine.data.splits import read_samples
from engine.evaluation.prediction_cache import ARRAY, Key, checkpoint_of, read_predictions, write_index
from engine.evaluation.run import Run, device_of, predict_samples
from engine.evaluation.scores import Levels, dequantise, quantise
from engine.process.folders import made_whole

NNUNET_VIEWS = ("mirror", "none")
"""nnU-Net's TTA modes, the preferred one first."""


@dataclass(frozen=True, slots=True)
class Probabilities:
    """A run's probability maps of some samples, in their order."""

    samples: tuple[Sample, ...]
    levels: Levels
    """(N, S, S): p = level / 65535, at the network's size."""
    presence: npt.NDArray[np.float64] | None
    """(N,): probability from the classification head; None without one."""
    keep_aspect: bool
    fingerprint: str
    """Fingerprint of the samples' data."""
    device: str
    """Device and precision with which they were computed."""

    @property
    def size(self) -> int:
        return int(self.levels.shape[1])

    def in_order_of(self, samples: Sequence[Sample]) -> Probabilities:
        """The same predictions in the order of these samples, whose ids are the same."""
        index_of = {sample.id: index for index, sample in enumerate(self.samples)}
        order = [index_of[sample.id] for sample in samples]
        if order == list(range(len(order))):
            return self
        presence = None if self.presence is None else self.presence[order]
        return replace(
            self, samples=tuple(self.samples[i] for i in order), levels=self.levels[order], presence=presence
        )

    def content(self, index: int, height: int, width: int) -> npt.NDArray[np.float32]:
        """The probability map of an image of that native size, without padding."""
        rows, columns = content_size(height, width, self.size, self.keep_aspect)
        return dequantise(self.levels[index, :rows, :columns])


@dataclass(frozen=True, slots=True)
class PresenceScores:
    """A run's presence probabilities of some samples, in their order."""

    samples: tuple[Sample, ...]
    scores: npt.NDArray[np.float64]
    """(N,), 0 to 1."""
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

    def of(self, samples: Sequence[Sample]) -> npt.NDArray[np.float64]:
        """The scores in the order of these samples, whose ids are the same."""
        score = dict(zip(self.ids, self.scores.tolist(), strict=True))
        return np.array([score[sample.id] for sample in samples], np.float64)


def split_probabilities(run: Run, split: str, tta: str, batch_size: int) -> Probabilities:
    """The run's probabilities on a split of its own manifest, cached. Raises BadInput for a classifier."""
    return probabilities(run, run.samples(split), run.manifest, tta, batch_size, _cache_folder(run, split, tta))


def probabilities(
    run: Run, samples: Sequence[Sample], manifest: Path, tta: str, batch_size: int, cache: Path | None
) -> Probabilities:
    """The run's probabilities on samples of a manifest; without a `cache` folder they stay in memory.

    Raises BadInput for a classifier.
    """
    if run.is_classifier:
        raise BadInput(f"{clean(str(run.folder))}: kind: {run.config.kind}; expected a run that predicts masks")
    data = fingerprint(samples)
    size = run.config.data.image_size
    shape = (len(samples), size, size)
    key = Key(run.sha256, data, tta, tuple(sample.id for sample in samples))
    if cache is None:
        levels = np.empty(shape, np.uint16)
        presence, device = _predict(run, samples, manifest, tta, batch_size, levels)
    elif (cached := read_predictions(cache, key, shape)) is not None and cached.levels is not None:
        levels, presence, device = cached.levels, cached.presence, cached.device
    else:
        with made_whole(cache) as making:
            mapped = new_array(making / ARRAY, np.uint16, shape)
            presence, device = _predict(run, samples, manifest, tta, batch_size, mapped)
            write_index(making, key, presence, device)
        levels = open_array(cache / ARRAY)
    scores = None if presence is None else np.array(presence, np.float64)
    return Probabilities(tuple(samples), levels, scores, run.config.data.keep_aspect, data, device)


def split_presence_scores(run: Run, split: str, tta: str, batch_size: int) -> PresenceScores:
    """The presence scores of a classifier or a classification head on a split of the run's own manifest, cached.

    Raises BadInput for a run without a classification head.
    """
    if run.is_classifier:
        cache = _cache_folder(run, split, tta)
        return classifier_scores(run, run.samples(split), run.manifest, tta, batch_size, cache)
    predicted = split_probabilities(run, split, tta, batch_size)
    if predicted.presence is None:
        raise BadInput(f"{clean(str(run.folder))}: has no classification head; give a classifier, or a run with one")
    return PresenceScores(predicted.samples, predicted.presence, predicted.fingerprint, predicted.device)


def classifier_scores(
    run: Run, samples: Sequence[Sample], manifest: Path, tta: str, batch_size: int, cache: Path | None
) -> PresenceScores:
    """A classifier's scores on samples of a manifest, read from and written to the `cache` folder if there is one."""
    data = fingerprint(samples)
    key = Key(run.sha256, data, tta, tuple(sample.id for sample in samples))
    cached = read_predictions(cache, key, None) if cache is not None else None
    if cached is not None and cached.presence is not None:
        scores, device = cached.presence, cached.device
    else:
        picked = device_of(run)
        scores, device = [], f"{picked.name}, float32"
        for _, _, batch_scores in predict_samples(run, samples, manifest, tta, batch_size, picked):
            assert batch_scores is not None, "a classifier predicts presence"
            scores += batch_scores.astype(float).tolist()
        if cache is not None:
            with made_whole(cache) as making:
                write_index(making, key, scores, device)
    return PresenceScores(tuple(samples), np.array(scores, np.float64), data, device)


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

    def probabilities(self, split: str) -> Probabilities:
        """The probabilities of a split of its manifest. Raises BadInput where the data have changed since."""
        samples = [sample for sample in read_samples(self.data, self.folder) if sample.split == split]
        folder = self.folder / names.PREDICTIONS / f"{split}_{self.view}"
        key = Key(self.sha256, fingerprint(samples), self.view, tuple(sample.id for sample in samples))
        size = self.data.image_size
        cached = read_predictions(folder, key, (len(samples), size, size))
        if cached is None or cached.levels is None:
            name = clean(str(folder))
            raise BadInput(f"{name}: not of the data in {clean(self.data.manifest)}; run nnunet predict again")
        return Probabilities(tuple(samples), cached.levels, None, True, key.data, cached.device)


def is_nnunet(folder: Path) -> bool:
    """Whether nnU-Net trained the run. Raises BadInput where there is no config."""
    return read_mapping(folder / names.CONFIG).get("kind") == "nnunet"


def open_nnunet_predictions(folder: Path) -> NnunetPredictions:
    """The predictions of an nnU-Net run. Raises BadInput in one line where val and test are not predicted yet."""
    config = load_nnunet_config(folder / names.CONFIG)
    check_manifest(folder, config.data.manifest)
    for view in NNUNET_VIEWS:
        checkpoints = {checkpoint_of(folder / names.PREDICTIONS / f"{split}_{view}") for split in ("val", "test")}
        if len(checkpoints) == 1 and (sha256 := checkpoints.pop()) is not None:
            return NnunetPredictions(folder, config.data, view, sha256)
    name = clean(str(folder))
    raise BadInput(f"{name}: no probabilities of val and test yet; run xray-engine nnunet predict --run {name} first")


def _cache_folder(run: Run, split: str, tta: str) -> Path:
    return run.folder / names.PREDICTIONS / f"{split}_{tta}"


def _predict(
    run: Run, samples: Sequence[Sample], manifest: Path, tta: str, batch_size: int, out: Levels
) -> tuple[list[float] | None, str]:
    """Fill `out` (N, S, S); returns the classification head's probabilities or None, and the device's name."""
    device = device_of(run)
    presence: list[float] | None = None
    for start, maps, scores in predict_samples(run, samples, manifest, tta, batch_size, device):
        assert maps is not None, "only a classifier predicts no masks"
        out[start : start + len(maps)] = quantise(maps)
        if scores is not None:
            presence = (presence or []) + scores.astype(float).tolist()
    return presence, f"{device.name}, float32"
