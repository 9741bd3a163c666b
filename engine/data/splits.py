"""Stratified splits that keep groups whole: into train, val and test, and into folds for cross-validation."""

from __future__ import annotations

import random
import warnings
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence, Set
from dataclasses import replace
from pathlib import Path

from engine.contract import names
from engine.contract.data import DataConfig
from engine.contract.errors import BadInput
from engine.contract.files import file_sha256, write_whole
from engine.contract.nnunet import NnunetDataConfig
from engine.contract.text import clean
from engine.data.manifest import Sample, read_manifest, with_window
from engine.data.tables import read_table
from engine.data.window import read_window

SHARES = {"train": 0.70, "val": 0.15, "test": 0.15}

_SEED = 0
"""The same for all trainings, so that members of a blend and all folds of a cross-validation fit together."""


def stratified_split(
    ids: Sequence[str],
    fractured: Sequence[bool],
    groups: Sequence[Sequence[Hashable]],
    seed: int,
    shares: Mapping[str, float] = SHARES,
) -> list[str]:
    """The split of each sample: these shares of the positives and of the negatives, groups kept whole.

    A sample may belong to several groups (its patient, images with the same pixels); samples joined by any chain of
    groups stay together. The result depends on ids, labels, groups and seed, and not on the order of the samples.
    """
    units: dict[int, list[int]] = {}  # samples that stay together, in the order of the ids
    component = _components(groups)
    for index in sorted(range(len(ids)), key=ids.__getitem__):
        units.setdefault(component[index], []).append(index)
    rng = random.Random(seed)
    part_of: dict[int, str] = {}
    for positive in (True, False):
        stratum = [unit for unit in units.values() if any(fractured[index] for index in unit) == positive]
        rng.shuffle(stratum)
        stratum.sort(key=len, reverse=True)  # stable; big groups first, so that small ones balance the parts
        filled = dict.fromkeys(shares, 0)
        for unit in stratum:
            emptiest = min(shares, key=lambda part: filled[part] / shares[part])
            filled[emptiest] += len(unit)
            part_of |= dict.fromkeys(unit, emptiest)
    return [part_of[index] for index in range(len(ids))]


def _components(groups: Sequence[Sequence[Hashable]]) -> list[int]:
    """A number for each sample, the same for samples joined by a chain of groups."""
    import numpy as np
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    number_of: dict[Hashable, int] = {}  # samples come first in the graph, then groups
    edges = [
        (sample, len(groups) + number_of.setdefault(group, len(number_of)))
        for sample, some in enumerate(groups)
        for group in some
    ]
    rows, columns = zip(*edges, strict=True) if edges else ((), ())
    size = len(groups) + len(number_of)
    graph = coo_array((np.ones(len(edges)), (rows, columns)), shape=(size, size))
    return [int(number) for number in connected_components(graph, directed=False)[1][: len(groups)]]


def read_samples(config: DataConfig | NnunetDataConfig, run: Path | None = None) -> list[Sample]:
    """The manifest's samples, in its order, with the splits of the config's fold. Raises BadInput.

    A run that has begun (it has a config) keeps the fold of its split.csv and the window of its window.yaml. A run of
    an earlier version has no such files: it keeps the fold that this version drew, and has no window.
    """
    samples = read_manifest(Path(config.manifest))
    if run is not None and not (run / names.CONFIG).exists():
        run = None
    if run is not None:
        samples = with_window(samples, read_window(run / names.WINDOW))
    if config.fold is None:
        return samples
    if run is None:
        return draw_folds(samples, config.folds)[config.fold]
    if (run / names.SPLIT).exists():
        return _with_stored_split(samples, run / names.SPLIT, config.manifest)
    return earlier_fold(samples, config.fold, config.folds)


def write_split(run: Path, samples: Iterable[Sample]) -> None:
    """Store the split of train and val as split.csv in the run folder: id, split."""
    import pandas as pd

    rows = [(sample.id, sample.split) for sample in samples if sample.split != "test"]
    write_whole(run / names.SPLIT, pd.DataFrame(rows, columns=["id", "split"]).to_csv(index=False, lineterminator="\n"))


def _with_stored_split(samples: Sequence[Sample], path: Path, manifest: str) -> list[Sample]:
    split_of = read_table(path, ("id", "split")).set_index("id")["split"].to_dict()
    if not {"train", "val"}.issuperset(split_of.values()):
        raise BadInput(f"{clean(str(path))}: split: expected train or val in every row")
    if other := split_of.keys() ^ {sample.id for sample in samples if sample.split != "test"}:
        raise BadInput(
            f"{clean(manifest)}: train and val are not the images of {clean(str(path))} ({len(other)} differ, such as "
            f"{clean(min(other))}); expected the data of the training"
        )
    return [replace(sample, split=split_of.get(sample.id, "test")) for sample in samples]


def draw_folds(samples: Sequence[Sample], folds: int) -> list[list[Sample]]:
    """The samples with their splits in every fold: a part of train and val as val, the other parts as train.

    Every fold has its share of the positives and of the negatives. Groups stay whole, and so do copies of an image: a
    copy of a validated image in train would make the score too good. The folds depend on ids, labels, groups and copies
    alone; the test split stays as it is. Raises BadInput for more folds than images of the larger class.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    shared = sorted((sample for sample in samples if sample.split != "test"), key=lambda sample: sample.id)
    labels = [sample.fractured for sample in shared]
    if folds > (most := max(sum(labels), len(labels) - sum(labels))):
        raise BadInput(f"data.folds: expected at most {most}, the number of images of the larger class, got {folds}")
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=_SEED)
    with warnings.catch_warnings(action="ignore", category=UserWarning):  # the smaller class may miss in a fold
        parts = [
            {shared[index].id for index in validated}
            for _, validated in splitter.split(shared, labels, _components(_kin(shared)))
        ]
    return [[_in_fold(sample, part) for sample in samples] for part in parts]


def earlier_fold(samples: Sequence[Sample], fold: int, folds: int) -> list[Sample]:
    """The samples with the splits of a fold as versions without split.csv drew it."""
    shared = [sample for sample in samples if sample.split != "test"]
    ids, labels = [sample.id for sample in shared], [sample.fractured for sample in shared]
    shares = {str(number): 1.0 for number in range(folds)}
    parts = stratified_split(ids, labels, _kin(shared), _SEED, shares)
    validated = {identity for identity, part in zip(ids, parts, strict=True) if part == str(fold)}
    return [_in_fold(sample, validated) for sample in samples]


def _in_fold(sample: Sample, validated: Set[str]) -> Sample:
    return sample if sample.split == "test" else replace(sample, split="val" if sample.id in validated else "train")


def _kin(samples: Sequence[Sample]) -> list[list[Hashable]]:
    """The groups of each sample of train and val: its own group, and the digest of its image file where another file
    has the same size. An image that was saved again with other bytes is not recognised as a copy."""
    sizes = [sample.image.stat().st_size for sample in samples]
    count = Counter(sizes)
    return [
        [
            *([("group", sample.group)] if sample.group is not None else []),
            *([("copy", file_sha256(sample.image))] if count[size] > 1 else []),
        ]
        for sample, size in zip(samples, sizes, strict=True)
    ]
