"""The presence probabilities that a network itself gives: a classifier's, or a classification head's, cached."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from engine.contract import names
from engine.contract.errors import BadInput
from engine.contract.files import write_json
from engine.contract.text import clean
from engine.data.manifest import Sample, fingerprint
from engine.evaluation.cache import INDEX, Index, read_index
from engine.evaluation.probabilities import split_probabilities
from engine.evaluation.trained import Run, answers, device_of
from engine.folders import made_whole


@dataclass(frozen=True, slots=True)
class HeadScores:
    """What a run says of the presence of a fracture in some samples, in their order."""

    samples: tuple[Sample, ...]
    scores: npt.NDArray[np.float64]
    """(N,), 0…1."""
    fingerprint: str
    """Of the samples' data."""
    device: str
    """What they were computed on, and in which precision."""

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


def split_head_scores(run: Run, split: str, tta: str, batch_size: int) -> HeadScores:
    """A classifier's or a head's scores on a split of the run's own manifest, from the cache where checkpoint and data
    are the same. Raises BadInput for a run that has no head."""
    if run.is_classifier:
        cache = run.folder / names.PREDICTIONS / f"{split}_{tta}"
        return classifier_scores(run, run.samples(split), run.manifest, tta, batch_size, cache)
    found = split_probabilities(run, split, tta, batch_size)
    if found.presence is None:
        raise BadInput(f"{clean(str(run.folder))}: has no classification head; give a classifier, or a run with one")
    return HeadScores(found.samples, found.presence, found.fingerprint, found.device)


def classifier_scores(
    run: Run, samples: Sequence[Sample], manifest: Path, tta: str, batch_size: int, cache: Path | None
) -> HeadScores:
    """A classifier's scores on samples of a manifest; `cache`: the folder to take them from or keep them in."""
    data = fingerprint(samples)
    index = Index(run.sha256, data, tta, tuple(sample.id for sample in samples))
    kept = read_index(cache, index) if cache is not None else None
    if kept is not None and kept[0] is not None:
        scores, device = kept[0], kept[1]
    else:
        picked = device_of(run)
        scores, device = [], f"{picked.name}, float32"
        for _, _, found in answers(run, samples, manifest, tta, batch_size, picked):
            assert found is not None, "a classifier has nothing else to say"
            scores += found.astype(float).tolist()
        if cache is not None:
            with made_whole(cache) as making:
                write_json(making / INDEX, index.with_answers(scores, device))
    return HeadScores(tuple(samples), np.array(scores, np.float64), data, device)
