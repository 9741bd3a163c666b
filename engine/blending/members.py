"""The members of a blend on one split: the same images, each member's maps at a common size, mixed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from engine.contract import names
from engine.contract.errors import BadInput
from engine.contract.text import clean
from engine.contract.yaml_file import read_mapping
from engine.data.manifest import Sample
from engine.data.resize import content_size, mask_to_input, to_native
from engine.evaluation.predictions import NnunetPredictions, Predictions, open_nnunet_predictions, predict_split
from engine.evaluation.presence import HEAD, OF_MAP
from engine.evaluation.run import Run, open_run
from engine.evaluation.scores import counted_values, native_mask

Weights = Sequence[float]
Member = Run | NnunetPredictions
"""A run of ours, or the predictions of an nnU-Net run."""


@dataclass(frozen=True, slots=True)
class Members:
    """The members' predictions on a split."""

    parts: tuple[Predictions, ...]
    other: npt.NDArray[np.float64] | None = None
    """(N,): the presence scores of the other run; None without one."""

    @property
    def samples(self) -> tuple[Sample, ...]:
        return self.parts[0].samples

    @property
    def largest(self) -> Predictions:
        """The member with the largest input; maps are mixed at its size."""
        return max(self.parts, key=lambda part: part.size)

    @property
    def own_sources(self) -> tuple[str, ...]:
        """(M,): the source of each member's own presence score."""
        return tuple("max" if part.presence is None else HEAD for part in self.parts)

    def contents(self, index: int, height: int, width: int) -> npt.NDArray[np.float32]:
        """(M, rows, columns): every member's map of an image at the common size, without padding."""
        rows, columns = content_size(height, width, self.largest.size, self.largest.keep_aspect)
        return np.stack([to_native(part.content(index, height, width), rows, columns) for part in self.parts])

    def own_presence(self) -> npt.NDArray[np.float64]:
        """(M, N): each member's own presence score: its classification head or, without one, the maximum of its map,
        which a presence loss may have trained."""

        def largest(part: Predictions, index: int) -> float:
            mask = native_mask(part.samples[index])
            content = part.content(index, *mask.shape)
            small = mask_to_input(mask, part.size, part.keep_aspect)[: content.shape[0], : content.shape[1]]
            return OF_MAP["max"](counted_values(content, small))

        def scores(part: Predictions) -> npt.NDArray[np.float64]:
            if part.presence is not None:
                return part.presence
            return np.array([largest(part, index) for index in range(len(part.samples))])

        return np.stack([scores(part) for part in self.parts])


def mix(contents: npt.NDArray[np.float32], weights: Weights) -> npt.NDArray[np.float32]:
    """(M, rows, columns) and M weights -> the weighted mean map."""
    return np.tensordot(np.asarray(weights, np.float32), contents, 1)


def open_member(folder: Path) -> Member:
    """A run folder as a member. Raises BadInput in one line if it cannot be one."""
    is_nnunet = read_mapping(folder / names.CONFIG).get("kind") == "nnunet"
    return open_nnunet_predictions(folder) if is_nnunet else open_run(folder)


def open_members(
    runs: Sequence[Member], split: str, tta: str, batch_size: int, presence_run: Run | None = None
) -> Members:
    """The predictions of the members, and of the run whose presence score is mixed in, on a split. nnU-Net members keep
    their own TTA mode. Raises BadInput where two of them have different data, or that run has no presence score."""
    for run in runs:
        if isinstance(run, Run) and run.is_classifier:
            raise BadInput(f"{clean(str(run.folder))}: kind: {run.config.kind}; expected a run that predicts masks")
    parts = [
        predict_split(run, split, tta, batch_size) if isinstance(run, Run) else run.predictions(split) for run in runs
    ]
    samples, data = parts[0].samples, parts[0].fingerprint
    for run, part in zip(runs[1:], parts[1:], strict=True):
        _check_is_same(run, part.fingerprint, runs[0], data, split)
    other = None
    if presence_run is not None:
        predictions = predict_split(presence_run, split, tta, batch_size)
        if predictions.presence is None:
            name = clean(str(presence_run.folder))
            raise BadInput(f"{name}: has no classification head; give a classifier, or a run with one")
        _check_is_same(presence_run, predictions.fingerprint, runs[0], data, split)
        other = predictions.in_order_of(samples).presence
    return Members(tuple(part.in_order_of(samples) for part in parts), other)


def _check_is_same(run: Member, data: str, first: Member, expected: str, split: str) -> None:
    if data != expected:
        raise BadInput(
            f"{clean(str(run.folder))}: its {split} split differs from that of {clean(str(first.folder))}; "
            "members need the same data"
        )
