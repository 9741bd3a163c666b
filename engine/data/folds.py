"""Cross-validation: train and val of a manifest shared out anew, one fold of them for validation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from engine.contract.data import DataConfig
from engine.data.manifest import Sample, read_manifest
from engine.data.split import stratified_parts

_SEED = 0
"""The same for all trainings: whatever their seed, they share the folds, so that members of a blend and the folds of
one cross-validation see the same images."""


def read_samples(config: DataConfig) -> list[Sample]:
    """The manifest's samples, in its order, with the splits that the config's fold gives them. Raises BadInput."""
    samples = read_manifest(Path(config.manifest))
    return samples if config.fold is None else with_fold(samples, config.fold, config.folds)


def with_fold(samples: Sequence[Sample], fold: int, folds: int) -> list[Sample]:
    """The samples with `fold`, of so many folds of train and val together, as val and the others as train.

    Every fold has its share of the positives and of the negatives, and groups stay whole; which one a sample is in
    depends on ids, labels and groups alone. The test split stays as it is.
    """
    shared = [sample for sample in samples if sample.split != "test"]
    parts = stratified_parts(
        [sample.id for sample in shared],
        [sample.fractured for sample in shared],
        [[sample.group] if sample.group is not None else [] for sample in shared],
        dict.fromkeys(range(folds), 1.0),
        _SEED,
    )
    split = {sample.id: "val" if part == fold else "train" for sample, part in zip(shared, parts, strict=True)}
    return [replace(sample, split=split.get(sample.id, "test")) for sample in samples]
