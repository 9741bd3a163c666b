"""FracAtlas as published, each of its flaws in a tiny copy of its layout, and the real one where it lies beside us."""

from __future__ import annotations

import os
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine.contract.errors import BadInput
from engine.data.images import image_size, read_mask
from engine.data.manifest import read_manifest
from engine.prepare.checks import Examined, examine, header_problems
from engine.prepare.prepare import Prepared, prepare, read_source

from .conftest import TinyFracAtlas, corners, write_csv

SQUARE = (10, 8, 30, 20)


def kinds(prepared: Prepared) -> Counter[str]:
    """Kinds of flaws, without those that come from the sets being tiny."""
    return Counter(flaw.kind for flaw in prepared.flaws if flaw.kind != "empty class")


def lines(prepared: Prepared, kind: str) -> list[str]:
    return [flaw.line for flaw in prepared.flaws if flaw.kind == kind]


def test_polygons_become_masks_and_the_rest_has_none(fracatlas: TinyFracAtlas, tmp_path: Path) -> None:
    fracatlas.add("IMG1", fractured=True, polygons=[corners(SQUARE)])
    fracatlas.add("IMG2")
    prepared = prepare(fracatlas.write(), tmp_path / "out")
    one, two = read_manifest(prepared.manifest)
    assert (one.id, one.fractured, two.id, two.fractured, two.mask) == ("IMG1", True, "IMG2", False, None)
    assert one.image.resolve() == (fracatlas.folder / "images/Fractured/IMG1.jpg").resolve()
    expected = np.zeros((40, 64), bool)
    expected[8:20, 10:30] = True
    assert np.array_equal(read_mask(one.mask), expected)
    assert kinds(prepared) == {}


def test_the_given_split_is_taken_and_every_image_must_have_one(fracatlas: TinyFracAtlas, tmp_path: Path) -> None:
    for name in ("IMG1", "IMG2", "IMG3"):
        fracatlas.add(name)
    rows = [{"image_id": "IMG1.jpg", "split": "test"}, {"image_id": "IMG2", "split": "val"}]
    folder = fracatlas.write()
    split = write_csv(tmp_path / "split.csv", rows)
    with pytest.raises(BadInput) as caught:
        prepare(folder, tmp_path / "out", split=split)
    assert caught.value.lines == (f"{split}: IMG3: no split; expected a line for each image",)
    assert not (tmp_path / "out").exists()
    write_csv(split, [*rows, {"image_id": "IMG3.jpg", "split": "train"}, {"image_id": "IMG9.jpg", "split": "train"}])
    prepared = prepare(folder, tmp_path / "out", split=split)
    assert [sample.split for sample in read_manifest(prepared.manifest)] == ["test", "val", "train"]
    assert lines(prepared, "no image") == [f"{split}: IMG9.jpg: the source has no such image"]


def test_every_problem_of_a_split_file_is_listed(fracatlas: TinyFracAtlas, tmp_path: Path) -> None:
    fracatlas.add("IMG1")
    split = write_csv(tmp_path / "s.csv", [{"id": "IMG1", "split": "train"}, {"id": "IMG1", "split": "dev\x1b"}])
    with pytest.raises(BadInput) as caught:
        prepare(fracatlas.write(), tmp_path / "out", split=split)
    assert caught.value.lines == (
        f"{split}: line 3: id: IMG1 is a duplicate",
        f"{split}: line 3: split: expected train, val or test, got dev␛",
    )


def test_polygons_were_drawn_on_the_turned_image(fracatlas: TinyFracAtlas, tmp_path: Path) -> None:
    """Stored 64 x 40 on its side, shown 40 x 64: the annotation tells the shown size, and so does the mask."""
    path = fracatlas.add(
        "IMG1", fractured=True, polygons=[corners((5, 40, 15, 60))], orientation=6, annotated_size=(40, 64)
    )
    prepared = prepare(fracatlas.write(), tmp_path / "out")
    (sample,) = read_manifest(prepared.manifest)
    assert image_size(path) == read_mask(sample.mask).shape == (64, 40)
    assert read_mask(sample.mask)[40:60, 5:15].all()
    assert lines(prepared, "rotated") == ["IMG1: has an EXIF rotation, turned to 40 x 64"]


def test_a_truncated_jpeg_is_kept_and_listed(fracatlas: TinyFracAtlas, tmp_path: Path) -> None:
    path = fracatlas.add("IMG1")
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3])
    prepared = prepare(fracatlas.write(), tmp_path / "out")
    assert [sample.id for sample in read_manifest(prepared.manifest)] == ["IMG1"]
    assert lines(prepared, "truncated") == ["IMG1: the JPEG is cut short, read up to that point"]


def test_pixel_identical_images_are_listed_by_what_is_wrong_with_them(fracatlas: TinyFracAtlas, tmp_path: Path) -> None:
    fracatlas.add("A1", number=1)
    fracatlas.add("A2", number=1)
    fracatlas.add("B1", number=2)
    fracatlas.add("B2", number=2)
    fracatlas.add("C1", number=3, fractured=True, polygons=[corners(SQUARE)])
    fracatlas.add("C2", number=3)
    splits = {"A1": "train", "A2": "train", "B1": "train", "B2": "test", "C1": "val", "C2": "train"}
    split = write_csv(tmp_path / "s.csv", [{"image_id": name, "split": place} for name, place in splits.items()])
    prepared = prepare(fracatlas.write(), tmp_path / "out", split=split)
    same = "identical pixels: "
    assert lines(prepared, "duplicate") == [f"{same}A1 (train, not fractured), A2 (train, not fractured)"]
    assert lines(prepared, "duplicate across splits") == [
        f"{same}B1 (train, not fractured), B2 (test, not fractured); across splits"
    ]
    assert lines(prepared, "duplicate, other label") == [
        f"{same}C1 (val, fractured), C2 (train, not fractured); across splits; with different labels"
    ]


def test_a_split_that_is_drawn_keeps_identical_images_together(fracatlas: TinyFracAtlas, tmp_path: Path) -> None:
    for number in range(12):
        fracatlas.add(f"A{number}", number=number)
        fracatlas.add(f"B{number}", number=number)
    folder = fracatlas.write()
    for seed in range(3):
        split_of = {s.id: s.split for s in read_manifest(prepare(folder, tmp_path / str(seed), seed=seed).manifest)}
        assert all(split_of[f"A{number}"] == split_of[f"B{number}"] for number in range(12))
        assert set(split_of.values()) == {"train", "val", "test"}


@pytest.mark.parametrize(("trust", "fractured"), [("mask", True), ("label", False)])
def test_an_annotated_image_that_is_labelled_0(
    fracatlas: TinyFracAtlas, tmp_path: Path, trust: str, fractured: bool
) -> None:
    fracatlas.add("IMG1", polygons=[corners(SQUARE)], place="Fractured")
    prepared = prepare(fracatlas.write(), tmp_path / "out", trust=trust)
    (sample,) = read_manifest(prepared.manifest)
    assert (sample.fractured, sample.mask is not None) == (fractured, fractured)
    assert len(list((tmp_path / "out" / "masks").iterdir())) == int(fractured)
    assert kinds(prepared) == {"label": 1, "folder": 1}
    assert lines(prepared, "folder") == ["IMG1.jpg: lies in Fractured, dataset.csv says 0"]
    (line,) = lines(prepared, "label")
    assert line.startswith("IMG1: labelled 0, but its mask is not empty: taken as ")
    assert f"the {trust} is trusted" in line


def test_an_image_labelled_1_without_an_annotation(fracatlas: TinyFracAtlas, tmp_path: Path) -> None:
    fracatlas.add("IMG1", fractured=True)
    fracatlas.add("IMG2")
    folder = fracatlas.write()
    by_mask = prepare(folder, tmp_path / "mask")
    assert [sample.fractured for sample in read_manifest(by_mask.manifest)] == [False, False]
    assert "taken as not fractured" in lines(by_mask, "label")[0]
    by_label = prepare(folder, tmp_path / "label", trust="label")
    assert [sample.id for sample in read_manifest(by_label.manifest)] == ["IMG2"]
    assert "left out, a positive without a mask cannot be scored" in lines(by_label, "label")[0]


def test_bad_polygons_are_listed_and_good_ones_beside_them_drawn(fracatlas: TinyFracAtlas, tmp_path: Path) -> None:
    fracatlas.add("IMG1", fractured=True, polygons=[[1, 1, 5, 5], corners(SQUARE), corners((60, 30, 99, 50)), None])
    with pytest.raises(BadInput, match="2 of 4 masks or annotations are lost"):
        prepare(fracatlas.write(), tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())
    prepared = prepare(fracatlas.write(), tmp_path / "out", accept_losses=True)
    assert lines(prepared, "polygon") == [
        "IMG1: polygon 1 has 4 coordinates; expected an even number, at least 6, left out",
        "IMG1: polygon 3 reaches beyond the 64 x 40 picture and was cut at its edge",
        "IMG1: polygon 4 is not a list of numbers, left out",
    ]
    (sample,) = read_manifest(prepared.manifest)
    assert read_mask(sample.mask).sum() == 20 * 12 + 4 * 10


@pytest.mark.parametrize("size", [(40, 64), (128, 80)])
def test_polygons_drawn_on_a_picture_of_another_size_are_refused(
    fracatlas: TinyFracAtlas, tmp_path: Path, size: tuple[int, int]
) -> None:
    fracatlas.add("IMG1", fractured=True, polygons=[corners(SQUARE)], annotated_size=size)
    expected = "line 2: the annotation of IMG1.jpg: expected 64 x 40 pixels like its image (upright), got"
    with pytest.raises(BadInput, match=re.escape(f"{expected} {size[0]} x {size[1]}")):
        prepare(fracatlas.write(), tmp_path / "out")


def test_everything_that_is_missing_or_twice_is_listed_before_any_pixel_is_read(
    fracatlas: TinyFracAtlas, tmp_path: Path
) -> None:
    fracatlas.add("IMG1").unlink()
    fracatlas.add("IMG2")
    fracatlas.add("IMG2", place="Fractured")
    fracatlas.rows[0]["fractured"] = "maybe"
    folder = fracatlas.write()
    table = folder / "dataset.csv"
    with pytest.raises(BadInput) as caught:
        prepare(folder, tmp_path / "out")
    assert caught.value.lines == (
        f"{table}: line 2: fractured: expected 0 or 1, got maybe",
        f"{table}: line 2: image: {folder / 'images' / 'IMG1.jpg'}: no such file",
        f"{table}: line 3: image_id: IMG2.jpg found 2 times below images",
        f"{table}: line 4: image_id: IMG2.jpg found 2 times below images",
        f"{table}: line 4: id: IMG2 is a duplicate of {table}: line 3",
    )


def test_images_and_annotations_that_the_table_does_not_know_are_listed(
    fracatlas: TinyFracAtlas, tmp_path: Path
) -> None:
    fracatlas.add("IMG1")
    fracatlas.add("IMG7", fractured=True, polygons=[corners(SQUARE)])
    del fracatlas.rows[1]
    fracatlas.annotations.append({"image_id": 99, "segmentation": [corners(SQUARE)]})
    prepared = prepare(fracatlas.write(), tmp_path / "out", accept_losses=True)
    assert lines(prepared, "unlisted") == ["IMG7.jpg: not in dataset.csv, left out"]
    assert lines(prepared, "annotation") == [
        "IMG7.jpg: annotated, but not in dataset.csv",
        "image_id 99 (not among the file's images): annotated, but not in dataset.csv",
    ]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "not JSON"),
        (b"\x00\xff\x1b[2J", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[]", "expected a COCO file with images and annotations"),
        (b'{"images": [], "annotations": 3}', "annotations: 3: Input should be a valid list"),
        (b'{"images": [1, {"id": []}], "annotations": []}', r"images\.0: 1: expected keys with values"),
        (b'{"images": [], "annotations": [[]]}', r"annotations\.0: \[\]: expected keys with values"),
        (
            b'{"images": [{"id": 1, "file_name": "IMG1.jpg", "width": 64, "height": 40}], "annotations": '
            b'[{"image_id": 1, "segmentation": {"counts": "abc", "size": [40, 64]}}]}',
            "IMG1: run-length mask 1 has malformed counts",
        ),
    ],
)
def test_a_broken_annotation_file_is_refused_with_its_name(
    fracatlas: TinyFracAtlas, tmp_path: Path, content: bytes, told: str
) -> None:
    fracatlas.add("IMG1")
    folder = fracatlas.write()
    (folder / "Annotations/COCO JSON/COCO_fracture_masks.json").write_bytes(content)
    with pytest.raises(BadInput, match=rf"COCO_fracture_masks\.json: {told}|{told}") as caught:
        prepare(folder, tmp_path / "out")
    assert all(line.isprintable() for line in caught.value.lines)


REAL = Path(__file__).resolve().parents[4] / "shared" / "fracatlas"
needs_the_real_one = pytest.mark.skipif(not REAL.is_dir(), reason="no ../shared/fracatlas beside the project")


@needs_the_real_one
def test_polygons_of_the_real_fracatlas_fit_its_images() -> None:
    """Forty of its images, among them turned and truncated ones and the one whose label contradicts its annotation."""
    source = read_source(REAL)
    assert (len(source.cases), source.problems) == (3470, ())
    chosen = {"IMG0002588", "IMG0002628", "IMG0003298", "IMG0004028", "IMG0000429"}
    chosen |= {case.id for case in source.cases[::100]}
    cases = [case for case in source.cases if case.id in chosen]
    assert [header_problems(case) for case in cases] == [[]] * len(cases)
    found = {case.id: one for case in cases if isinstance(one := examine(case), Examined)}
    assert len(found) == len(cases)
    assert {flaw.kind for flaw in found["IMG0004028"].flaws} == {"truncated"}
    assert {flaw.kind for flaw in found["IMG0002628"].flaws} == {"rotated"}
    assert found["IMG0003298"].mask is not None
    assert found["IMG0003298"].case.label is False


@needs_the_real_one
@pytest.mark.long
@pytest.mark.skipif(not os.environ.get("XRAY_TUI_LONG"), reason="the whole of FracAtlas: make test-long")
def test_the_whole_of_fracatlas_comes_out_with_its_published_split(tmp_path: Path) -> None:
    by_mask = prepare(REAL, tmp_path / "mask", format="fracatlas", split=REAL / "split.csv")
    by_label = prepare(REAL, tmp_path / "label", split=REAL / "split.csv", trust="label")
    rest = [[252, 53], [253, 54]]  # val and test: without and with a fracture
    assert by_label.counts.to_numpy().tolist() == [[2357, 501], *rest]
    assert by_mask.counts.to_numpy().tolist() == [[2356, 502], *rest]  # IMG0003298 is annotated and labelled 0
    assert lines(by_mask, "label")[0].startswith("IMG0003298: labelled 0")
    found = kinds(by_mask)
    assert (found["truncated"], found["rotated"]) == (47, 21)
    assert (found["duplicate across splits"], found["duplicate, other label"]) == (14, 2)
    for sample in read_manifest(by_mask.manifest)[::50]:
        if sample.mask:
            assert image_size(sample.image) == read_mask(sample.mask).shape
            assert Image.open(sample.mask).mode == "L"
