"""The split that is drawn where a source brings none."""

from __future__ import annotations

import random
from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.data.splits import stratified_split


def shares(splits: list[str], fractured: list[bool]) -> dict[tuple[str, bool], int]:
    return Counter(zip(splits, fractured, strict=True))


def test_both_classes_are_split_70_15_15() -> None:
    fractured = [number < 300 for number in range(1000)]
    there = shares(stratified_split([str(n) for n in range(1000)], fractured, [()] * 1000, 7), fractured)
    assert there == {
        ("train", True): 210, ("val", True): 45, ("test", True): 45,
        ("train", False): 490, ("val", False): 105, ("test", False): 105,
    }  # fmt: skip


def test_the_same_seed_gives_the_same_split_and_another_seed_another() -> None:
    ids, fractured = [str(n) for n in range(100)], [n % 3 == 0 for n in range(100)]
    first = stratified_split(ids, fractured, [()] * 100, 1)
    assert stratified_split(ids, fractured, [()] * 100, 1) == first
    assert stratified_split(ids, fractured, [()] * 100, 2) != first


def test_the_order_of_the_rows_does_not_matter() -> None:
    ids, fractured = [str(n) for n in range(60)], [n % 4 == 0 for n in range(60)]
    groups = [[n // 3] for n in range(60)]
    expected = dict(zip(ids, stratified_split(ids, fractured, groups, 5), strict=True))
    order = random.Random(0).sample(range(60), 60)
    shuffled = stratified_split([ids[i] for i in order], [fractured[i] for i in order], [groups[i] for i in order], 5)
    assert {ids[i]: split for i, split in zip(order, shuffled, strict=True)} == expected


def test_a_chain_of_groups_stays_together() -> None:
    """Two patients of whom one image is the same: nobody may be split."""
    ids = [str(n) for n in range(40)]
    groups: list[list[object]] = [[f"patient {n}"] for n in range(40)]
    groups[3], groups[9], groups[27] = ["p1"], ["p1", "pixels"], ["pixels", "p2"]
    groups[31] = ["p2"]
    for seed in range(20):
        splits = stratified_split(ids, [False] * 40, groups, seed)
        assert len({splits[n] for n in (3, 9, 27, 31)}) == 1


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 12)), min_size=1, max_size=80), st.integers(0, 99))
def test_no_group_is_ever_torn_apart(samples: list[tuple[bool, int]], seed: int) -> None:
    splits = stratified_split(
        [f"{n:03}" for n in range(len(samples))], [label for label, _ in samples], [[g] for _, g in samples], seed
    )
    assert all(split in ("train", "val", "test") for split in splits)
    assert len(set(zip((g for _, g in samples), splits, strict=True))) == len({g for _, g in samples})
