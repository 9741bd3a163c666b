"""Stratified splits that keep groups whole: into train, val and test, and into folds for cross-validation."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar

from engine.contract.data import DataConfig
from engine.contract.files import file_sha256
from engine.contract.nnunet import NnunetDataConfig
from engine.data.manifest import Sample, read_manifest

SHARES = {"train": 0.70, "val": 0.15, "test": 0.15}


Part = TypeVar("Part", bound=Hashable)

_SEED = 0
"""The same for all trainings, whatever their seed, so that members of a blend and the folds of one cross-validation use
the same folds."""

NOTHING: Mapping[str, str] = MappingProxyType({})


def stratified_split(
    ids: Sequence[str], fractured: Sequence[bool], groups: Sequence[Sequence[Hashable]], seed: int
) -> list[str]:
    """The split of each sample: 70 / 15 / 15 % of the positives and of the negatives, groups kept whole."""
    return stratified_parts(ids, fractured, groups, SHARES, seed)


def stratified_parts(
    ids: Sequence[str],
    fractured: Sequence[bool],
    groups: Sequence[Sequence[Hashable]],
    shares: Mapping[Part, float],
    seed: int,
) -> list[Part]:
    """The part of each sample: these shares of the positives and of the negatives, groups kept whole.

    A sample may belong to several groups (its patient, images with the same pixels); samples joined by any chain of
    groups stay together. The result depends on ids, labels, groups and seed, and not on the order of the samples.
    """
    units = _joined(ids, groups)
    rng = random.Random(seed)
    part_of: dict[int, Part] = {}
    for positive in (True, False):
        stratum = [unit for unit in units if any(fractured[index] for index in unit) == positive]
        rng.shuffle(stratum)
        stratum.sort(key=len, reverse=True)  # stable; big groups first, so that small ones balance the parts
        filled = dict.fromkeys(shares, 0)
        for unit in stratum:
            emptiest = min(shares, key=lambda part: filled[part] / shares[part])
            filled[emptiest] += len(unit)
            part_of |= dict.fromkeys(unit, emptiest)
    return [part_of[index] for index in range(len(ids))]


def _joined(ids: Sequence[str], groups: Sequence[Sequence[Hashable]]) -> list[list[int]]:
    """Lists of indices joined by a chain of groups, in the order of the ids."""
    order = sorted(range(len(ids)), key=ids.__getitem__)
    parent = list(range(len(ids)))

    def root(index: int) -> int:
        while parent[index] != index:
            parent[index] = parent[parent[index]]
            index = parent[index]
        return index

    first: dict[Hashable, int] = {}
    for index in order:
        for group in groups[index]:
            parent[root(index)] = root(first.setdefault(group, index))
    units: dict[int, list[int]] = {}
    for index in order:
        units.setdefault(root(index), []).append(index)
    return list(units.values())


def read_samples(config: DataConfig | NnunetDataConfig) -> list[Sample]:
    """The manifest's samples, in its order, with the splits of the config's fold. Raises BadInput."""
    samples = read_manifest(Path(config.manifest))
    return samples if config.fold is None else with_fold(samples, config.fold, config.folds, copies(samples))


def copies(samples: Sequence[Sample]) -> dict[str, str]:
    """Id -> digest of the image file, for samples of train and val whose files have the same size as another. An image
    that was saved again with other bytes is not recognised as a copy."""
    alike: dict[int, list[Sample]] = defaultdict(list)
    for sample in samples:
        if sample.split != "test":
            alike[sample.image.stat().st_size].append(sample)
    return {sample.id: file_sha256(sample.image) for same in alike.values() if len(same) > 1 for sample in same}


def with_fold(samples: Sequence[Sample], fold: int, folds: int, alike: Mapping[str, str] = NOTHING) -> list[Sample]:
    """The samples with the validation fold `fold` of train and val together, the other folds as train.

    Every fold has its share of the positives and of the negatives. Groups stay whole, and so do samples with the same
    value in `alike` (by id): a copy of a validated image in train would make the score too good. The fold of a sample
    depends on these, on ids and on labels alone. The test split stays as it is.
    """
    shared = [sample for sample in samples if sample.split != "test"]
    parts = stratified_parts(
        [sample.id for sample in shared],
        [sample.fractured for sample in shared],
        [_kin(sample, alike) for sample in shared],
        dict.fromkeys(range(folds), 1.0),
        _SEED,
    )
    split = {sample.id: "val" if part == fold else "train" for sample, part in zip(shared, parts, strict=True)}
    return [replace(sample, split=split.get(sample.id, "test")) for sample in samples]


def _kin(sample: Sample, alike: Mapping[str, str]) -> list[Hashable]:
    """The groups of a sample: samples that share one belong in the same fold."""
    shared = (("group", sample.group), ("copy", alike.get(sample.id)))
    return [(kind, value) for kind, value in shared if value is not None]
