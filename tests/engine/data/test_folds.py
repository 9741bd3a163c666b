"""Folds of train and val, for cross-validation."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from engine.contract.data import DataConfig
from engine.contract.errors import BadInput
from engine.data.manifest import Sample, write_manifest
from engine.data.splits import draw_folds, earlier_fold, read_samples, write_split


@pytest.fixture(autouse=True)
def _in_tmp_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def radiographs(count: int, *, positives: int, a_patient: int = 1) -> list[Sample]:
    """Every fifth is in the test split, every fifth in val; each patient has this number of images in a row."""
    splits = ("train", "train", "train", "val", "test")
    Path("mask.png").touch()
    samples = []
    for n in range(count):
        image = Path(f"r{n:03}.png")
        image.write_text(str(n))
        mask = Path("mask.png") if n < positives else None
        group = f"patient {n // a_patient}" if a_patient > 1 else None
        samples.append(Sample(image.stem, image, mask, n < positives, splits[n // a_patient % 5], group))
    return samples


def validated(samples: list[Sample]) -> set[str]:
    return {sample.id for sample in samples if sample.split == "val"}


def test_every_image_of_train_and_val_is_validated_once_and_the_test_split_never() -> None:
    samples = radiographs(100, positives=25)
    for folds in (draw_folds(samples, 4), [earlier_fold(samples, fold, 4) for fold in range(4)]):
        assert {len(fold) for fold in folds} == {100}
        counts = Counter(sample.id for fold in folds for sample in fold if sample.split == "val")
        assert counts == Counter(sample.id for sample in samples if sample.split != "test")
        for fold in folds:
            assert [s.id for s in fold] == [s.id for s in samples], "in the manifest's order"
            assert [s.id for s in fold if s.split == "test"] == [s.id for s in samples if s.split == "test"]
            assert Counter(s.fractured for s in fold if s.split == "val") == {True: 5, False: 15}, (
                "a fair share of each"
            )


def test_a_patient_is_never_in_both_parts_of_a_fold() -> None:
    for samples in draw_folds(radiographs(90, positives=30, a_patient=3), 3):
        of = {split: {s.group for s in samples if s.split == split} for split in ("train", "val")}
        assert of["val"]
        assert not of["val"] & of["train"]


def test_folds_do_not_depend_on_the_order_of_the_manifest_or_on_its_own_split() -> None:
    samples = radiographs(60, positives=20)
    swapped = {"train": "val", "val": "train", "test": "test"}
    other = [Sample(s.id, s.image, s.mask, s.fractured, swapped[s.split], s.group) for s in reversed(samples)]
    assert [validated(fold) for fold in draw_folds(other, 5)] == [validated(fold) for fold in draw_folds(samples, 5)]
    assert validated(earlier_fold(other, 1, 5)) == validated(earlier_fold(samples, 1, 5))


def test_copies_of_an_image_are_in_the_same_part_of_every_fold() -> None:
    """The network would have seen a validated image as its copy in train."""
    samples = radiographs(24, positives=6)
    samples = [Sample(s.id, s.image, s.mask, s.fractured, "train") for s in samples]
    for n in range(0, 20, 2):
        samples[n].image.write_bytes(samples[n + 1].image.read_bytes())
    for fold in (*draw_folds(samples, 4), earlier_fold(samples, 0, 4)):
        split = [sample.split for sample in fold]
        assert set(split) == {"train", "val"}
        assert split[0:20:2] == split[1:20:2]


def test_more_folds_than_images_are_refused() -> None:
    with pytest.raises(BadInput, match=r"data\.folds: expected at most 8, .*, got 9"):
        draw_folds(radiographs(20, positives=10), 9)


def test_a_run_keeps_the_fold_of_its_split_file_and_an_earlier_run_that_of_its_version(tmp_path: Path) -> None:
    samples = radiographs(60, positives=20)
    write_manifest(tmp_path / "manifest.csv", samples)
    data = DataConfig(manifest=str(tmp_path / "manifest.csv"), fold=1, folds=5)
    run = tmp_path / "run"
    run.mkdir()
    drawn, earlier = validated(draw_folds(samples, 5)[1]), validated(earlier_fold(samples, 1, 5))
    assert drawn != earlier
    assert validated(read_samples(data, run)) == drawn, "a run that has not begun"
    (run / "config.yaml").touch()
    assert validated(read_samples(data, run)) == earlier, "a run of an earlier version"
    write_split(run, draw_folds(samples, 5)[3])
    stored = read_samples(data, run)
    assert validated(stored) == validated(draw_folds(samples, 5)[3])
    assert [s.id for s in stored if s.split == "test"] == [s.id for s in samples if s.split == "test"]
    (run / "split.csv").write_text("id,split\nr000,train\n")
    with pytest.raises(BadInput, match=r"split\.csv \(47 differ, such as r001\); expected the data of the training"):
        read_samples(data, run)
    (run / "split.csv").write_text("id,split\nr000,test\n")
    with pytest.raises(BadInput, match=r"split\.csv: split: expected train or val in every row"):
        read_samples(data, run)
