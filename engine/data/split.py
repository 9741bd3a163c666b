"""Stratified, seeded splits that tear no group apart: into train, val and test, or into any other parts."""

from __future__ import annotations

import random
from collections.abc import Hashable, Mapping, Sequence
from typing import TypeVar

SHARES = {"train": 0.70, "val": 0.15, "test": 0.15}


Part = TypeVar("Part", bound=Hashable)


def stratified_split(
    ids: Sequence[str], fractured: Sequence[bool], groups: Sequence[Sequence[Hashable]], seed: int
) -> list[str]:
    """The split of each sample: 70 / 15 / 15 % of the positives and of the negatives, by whole groups."""
    return stratified_parts(ids, fractured, groups, SHARES, seed)


def stratified_parts(
    ids: Sequence[str],
    fractured: Sequence[bool],
    groups: Sequence[Sequence[Hashable]],
    shares: Mapping[Part, float],
    seed: int,
) -> list[Part]:
    """The part of each sample: these shares of the positives and of the negatives, by whole groups.

    A sample may belong to several groups (its patient, the images with the same pixels); samples that are joined by
    any chain of groups stay together. The result depends on ids, labels, groups and seed, not on the order given.
    """
    units = _joined(ids, groups)
    rng = random.Random(seed)
    found: dict[int, Part] = {}
    for positive in (True, False):
        stratum = [unit for unit in units if any(fractured[index] for index in unit) == positive]
        rng.shuffle(stratum)
        stratum.sort(key=len, reverse=True)  # stable: big groups first, so that small ones even out
        filled = dict.fromkeys(shares, 0)
        for unit in stratum:
            emptiest = min(shares, key=lambda part: filled[part] / shares[part])
            filled[emptiest] += len(unit)
            found |= dict.fromkeys(unit, emptiest)
    return [found[index] for index in range(len(ids))]


def _joined(ids: Sequence[str], groups: Sequence[Sequence[Hashable]]) -> list[list[int]]:
    """Indices that a chain of groups joins, in the order of the ids."""
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
