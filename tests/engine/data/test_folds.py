"""Folds of train and val, for cross-validation."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from engine.data.manifest import Sample
from engine.data.splits import copies, with_fold


def radiographs(count: int, *, positives: int, a_patient: int = 1) -> list[Sample]:
    """Every fifth is in the test split, every fifth in val; so many of the same label in a row are one patient's."""
    splits = ("train", "train", "train", "val", "test")
    return [
        Sample(
            f"r{n:03}",
            Path(f"r{n:03}.png"),
            Path("mask.png") if n < positives else None,
            n < positives,
            splits[n // a_patient % 5],
            f"patient {n // a_patient}" if a_patient > 1 else None,
        )
        for n in range(count)
    ]


def test_every_image_of_train_and_val_is_validated_once_and_the_test_split_never() -> None:
    samples = radiographs(100, positives=25)
    folds = [with_fold(samples, fold, 4) for fold in range(4)]
    assert {len(fold) for fold in folds} == {100}
    validated = Counter(sample.id for fold in folds for sample in fold if sample.split == "val")
    assert validated == Counter(sample.id for sample in samples if sample.split != "test")
    for fold in folds:
        assert [s.id for s in fold] == [s.id for s in samples], "in the manifest's order"
        assert [s.id for s in fold if s.split == "test"] == [s.id for s in samples if s.split == "test"]
        assert Counter(s.fractured for s in fold if s.split == "val") == {True: 5, False: 15}, "a fair share of each"


def test_a_patient_is_never_in_both_parts_of_a_fold() -> None:
    for fold in range(3):
        samples = with_fold(radiographs(90, positives=30, a_patient=3), fold, 3)
        of = {split: {s.group for s in samples if s.split == split} for split in ("train", "val")}
        assert of["val"]
        assert not of["val"] & of["train"]


def test_folds_do_not_depend_on_the_order_of_the_manifest_or_on_its_own_split() -> None:
    samples = radiographs(60, positives=20)
    expected = {sample.id: sample.split for sample in with_fold(samples, 1, 5)}
    swapped = {"train": "val", "val": "train", "test": "test"}
    other = [Sample(s.id, s.image, s.mask, s.fractured, swapped[s.split], s.group) for s in reversed(samples)]
    assert {sample.id: sample.split for sample in with_fold(other, 1, 5)} == expected


def test_copies_of_an_image_are_in_the_same_part_of_every_fold(tmp_path: Path) -> None:
    """A validated image would be known from its copy in train; files of another size cannot be copies."""
    samples = []
    for n in range(24):
        image = tmp_path / f"r{n:02}.png"
        image.write_bytes(bytes([n // 2]) * (5 if n < 20 else 5 + n))
        samples.append(Sample(f"r{n:02}", image, image if n % 4 == 0 else None, n % 4 == 0, "train"))
    alike = copies(samples)
    assert set(alike) == {f"r{n:02}" for n in range(20)}
    for fold in range(4):
        split = {sample.id: sample.split for sample in with_fold(samples, fold, 4, alike)}
        assert set(split.values()) == {"train", "val"}
        assert all(split[f"r{n:02}"] == split[f"r{n + 1:02}"] for n in range(0, 20, 2))


def test_an_image_of_the_test_split_is_nobodys_copy(tmp_path: Path) -> None:
    image = tmp_path / "r.png"
    image.write_bytes(b"same")
    assert not copies([Sample("a", image, None, False, "test"), Sample("b", image, None, False, "val")])
