"""Folders of images and masks, and CSV tables, as sources."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from engine.contract.errors import BadInput
from engine.data.manifest import read_manifest
from engine.prepare.annotations.shapes import Flaw
from engine.prepare.layouts import read_folder
from engine.prepare.prepare import prepare

from .conftest import save_image, save_mask, write_csv

SQUARE = (10, 8, 30, 20)


def labels(manifest: Path) -> dict[str, bool]:
    return {sample.id: sample.fractured for sample in read_manifest(manifest)}


@pytest.mark.parametrize(
    ("images", "masks"),
    [
        (("images/a.png", "images/b.png"), ("masks/a.png",)),
        (("images/a.jpg", "images/b.tif"), ("masks/a_mask.png",)),
        (("a.png", "b.png"), ("a_mask.png",)),
        (("deep/er/a.png", "deep/b.png"), ("deep/er/a-mask.PNG",)),
        (("images/p1/a.png", "images/p2/b.png"), ("masks/p1/a.png",)),
    ],
)
def test_masks_find_their_images_in_every_layout(
    folder: Callable[..., Path], tmp_path: Path, images: tuple[str, str], masks: tuple[str]
) -> None:
    source = folder(dict(zip(images, (1, 2), strict=True)), dict.fromkeys(masks, SQUARE))
    prepared = prepare(source, tmp_path / "out")
    assert labels(prepared.manifest) == {"a": True, "b": False}


def test_class_folders_give_the_label_and_contradictions_are_listed(
    folder: Callable[..., Path], tmp_path: Path
) -> None:
    source = folder(
        {"images/Fractured/a.png": 1, "images/Fractured/b.png": 2, "images/non-fractured/c.png": 3},
        {"masks/a.png": SQUARE, "masks/c.png": SQUARE},
    )
    by_mask = prepare(source, tmp_path / "mask")
    assert labels(by_mask.manifest) == {"a": True, "b": False, "c": True}
    assert [flaw.line.partition(":")[0] for flaw in by_mask.flaws if flaw.kind == "label"] == ["b", "c"]
    assert labels(prepare(source, tmp_path / "label", trust="label").manifest) == {"a": True, "c": False}


def test_split_folders_give_the_split(folder: Callable[..., Path], tmp_path: Path) -> None:
    source = folder(
        {"images/train/a.png": 1, "images/valid/b.png": 2, "images/test/c.png": 3},
        dict.fromkeys(("masks/train/a.png", "masks/valid/b.png", "masks/test/c.png"), SQUARE),
    )
    samples = read_manifest(prepare(source, tmp_path / "out").manifest)
    assert {sample.id: sample.split for sample in samples} == {"a": "train", "b": "val", "c": "test"}


def test_names_that_repeat_in_other_folders_become_ids_with_their_folder(
    folder: Callable[..., Path], tmp_path: Path
) -> None:
    source = folder({"images/p1/1.png": 1, "images/p2/1.png": 2}, {"masks/p2/1.png": SQUARE})
    assert labels(prepare(source, tmp_path / "out").manifest) == {"p1_1": False, "p2_1": True}


def test_the_same_name_twice_in_one_folder_is_refused(folder: Callable[..., Path], tmp_path: Path) -> None:
    source = folder({"images/normal/a.png": 1, "images/normal/a.jpg": 2})
    with pytest.raises(BadInput, match=r"id: normal_a is a duplicate of .*a\.jpg"):
        prepare(source, tmp_path / "out")


def test_two_masks_of_one_image_are_refused(folder: Callable[..., Path], tmp_path: Path) -> None:
    source = folder({"images/a.png": 1}, {"masks/a.png": SQUARE, "masks/a_mask.png": SQUARE})
    with pytest.raises(BadInput, match=r"a\.png: expected one mask, got 2: "):
        prepare(source, tmp_path / "out")


def test_a_mask_without_an_image_is_listed(folder: Callable[..., Path]) -> None:
    source = folder({"images/normal/a.png": 1}, {"masks/z.png": SQUARE})
    (flaw,) = read_folder(source).flaws
    assert flaw == Flaw("mask alone", f"{source / 'masks' / 'z.png'}: expected one image of that name; left out", 1)


def test_a_folder_without_images_says_what_would_be_right(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(BadInput, match="no images; expected PNG, JPEG, TIFF or DICOM files"):
        prepare(tmp_path, tmp_path / "out")


def table(tmp_path: Path, rows: list[dict[str, object]]) -> Path:
    for number, row in enumerate(rows):
        save_image(tmp_path / "pictures" / str(row["image"]), number)
        row["image"] = f"pictures/{row['image']}"
    return write_csv(tmp_path / "table.csv", rows)


def test_a_table_without_splits_gets_one_and_groups_stay_together(tmp_path: Path) -> None:
    save_mask(tmp_path / "m.png", SQUARE)
    rows: list[dict[str, object]] = [
        {"id": n, "image": f"{n}.png", "mask": "", "fractured": 0, "group": n // 4} for n in range(40)
    ]
    for row in rows[::3]:
        row |= {"mask": "m.png", "fractured": 1}
    path = table(tmp_path, rows)
    samples = read_manifest(prepare(path, tmp_path / "out", seed=1).manifest)
    assert {sample.split for sample in samples} == {"train", "val", "test"}
    assert len({(sample.group, sample.split) for sample in samples}) == 10
    again = read_manifest(prepare(path, tmp_path / "again", seed=1).manifest)
    assert [sample.split for sample in again] == [sample.split for sample in samples]


def test_a_tables_own_splits_are_kept_and_torn_groups_listed(tmp_path: Path) -> None:
    rows = [
        {"id": "a", "image": "a.png", "mask": "", "fractured": 0, "split": "train", "group": "p1"},
        {"id": "b", "image": "b.png", "mask": "", "fractured": 0, "split": "test", "group": "p1"},
    ]
    prepared = prepare(table(tmp_path, rows), tmp_path / "out")
    assert [sample.split for sample in read_manifest(prepared.manifest)] == ["train", "test"]
    assert Flaw("group across splits", "group p1 is in train and test: scores there are too good") in prepared.flaws


def test_every_problem_of_a_table_is_listed(tmp_path: Path) -> None:
    rows = [
        {"id": "a", "image": "a.png", "mask": "none.png", "fractured": 1, "split": "train"},
        {"id": "a", "image": "b.png", "mask": "", "fractured": "", "split": "dev"},
    ]
    path = table(tmp_path, rows)
    path.write_text(path.read_text() + "c,gone.png,,0,train\nd,,,0,train\n")
    with pytest.raises(BadInput) as caught:
        prepare(path, tmp_path / "out")
    assert set(caught.value.lines) == {
        f"{path}: line 3: fractured: expected 0 or 1, got nothing",
        f"{path}: line 3: split: expected train, val or test, got dev",
        f"{path}: line 5: image: empty; expected a path relative to the table",
        f"{path}: line 2: mask: none.png: no such file",
        f"{path}: line 3: id: a is a duplicate of {path}: line 2",
        f"{path}: line 4: image: gone.png: no such file",
    }


def test_a_split_for_some_rows_only_is_refused(tmp_path: Path) -> None:
    rows = [
        {"id": name, "image": f"{name}.png", "mask": "", "fractured": 0, "split": split}
        for name, split in (("a", "train"), ("b", ""))
    ]
    with pytest.raises(BadInput, match="line 3: split: empty, but others have one"):
        prepare(table(tmp_path, rows), tmp_path / "out")


@pytest.mark.parametrize("content", [b"", b"\xff\xd8\xff\xe0 not csv", b"a,b\n1,2\n", b"id,image,mask,fractured\n"])
def test_a_file_that_is_no_table_is_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(BadInput) as caught:
        prepare(tmp_path / "t.csv", tmp_path / "out")
    assert len(caught.value.lines) == 1
    assert "t.csv" in caught.value.lines[0]
