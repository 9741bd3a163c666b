"""COCO: run lengths, categories, ids, file names and several files."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pycocotools import mask as pycoco

from engine.contract.errors import BadInput
from engine.data.images import IGNORED, read_labels
from engine.data.manifest import read_manifest
from engine.prepare.annotations.draw import draw_shapes
from engine.prepare.annotations.shapes import Drawing, Shape
from engine.prepare.prepare import prepare

from ..conftest import TinyFracAtlas, save_image
from .conftest import SQUARE, annotation, coco
from .test_formats import Source, lines, pixels, refused

CATEGORIES = [{"id": 1, "name": "Fracture"}, {"id": "2", "name": "hardware"}]
PLATE = [40, 2, 60, 2, 60, 12, 40, 12]


def encoded(mask: np.ndarray) -> dict[str, object]:
    """The mask as pycocotools compresses it."""
    rle = pycoco.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": rle["size"], "counts": rle["counts"].decode()}


@pytest.mark.parametrize("seed", range(5))
def test_compressed_run_lengths_are_decoded_exactly(seed: int) -> None:
    noise = np.random.default_rng(seed).random((40, 64)) < (0.5, 0.01, 0.99, 0.1, 0.9)[seed]
    mask, flaws = draw_shapes(Drawing((Shape("rle", encoded(noise)),)), 40, 64, "a")
    assert np.array_equal(mask, noise)
    assert flaws == []


@pytest.mark.parametrize(
    ("data", "told"),
    [
        ({"size": [64, 40], "counts": [0, 2560]}, r"has size [64, 40]; expected [40, 64] (height, width)"),
        ({"size": [40, 64], "counts": [0, 2561]}, "has counts of 2561 pixels; expected 40 x 64 = 2560"),
        ({"size": [40, 64], "counts": [2570, -10]}, "malformed counts"),
        ({"size": [40, 64], "counts": "\x1b[2J"}, "malformed counts"),
        ({"size": [40, 64], "counts": "o" * 99}, "malformed counts"),
        ({"size": [40, 64], "counts": "04"}, "has counts of 4 pixels"),
        ({"size": [40, 64], "counts": [2560]}, "is empty"),
        ({"counts": None}, "has size None"),
    ],
)
def test_run_lengths_that_do_not_fill_the_picture_are_lost(data: object, told: str) -> None:
    mask, flaws = draw_shapes(Drawing((Shape("rle", data),)), 40, 64, "a")
    assert not mask.any()
    assert [flaw.lost for flaw in flaws] == [1]
    assert told in flaws[0].line


def test_a_polygon_that_crosses_itself_is_drawn_as_pycocotools_draws_it() -> None:
    """A figure of eight has a signed area of 0."""
    eight = [5, 5, 25, 25, 25, 5, 5, 25]
    expected = pycoco.decode(pycoco.frPyObjects([eight], 40, 64))[:, :, 0].astype(bool)
    mask, _ = draw_shapes(Drawing((Shape("polygon", eight),)), 40, 64, "a")
    assert expected.any()
    assert np.array_equal(mask, expected)


def test_crowd_regions_are_stored_as_ignored_pixels(source: Source, tmp_path: Path) -> None:
    whole = np.zeros((40, 64), bool)
    whole[8:20, 5:15] = True
    crowd = encoded(whole)
    folder = source(
        {"c.json": coco(annotation(0, crowd, iscrowd=1), annotation(0, [SQUARE]), annotation(1, crowd, iscrowd=1))}
    )
    prepared = prepare(folder, tmp_path / "out", crowd="ignore")
    samples = {sample.id: sample for sample in read_manifest(prepared.manifest)}
    expected = np.where(whole, IGNORED, 0)
    expected[8:20, 10:30] = 1  # the fracture is in front
    assert np.array_equal(read_labels(samples["a0"].mask), expected)
    assert np.array_equal(read_labels(samples["a1"].mask), np.where(whole, IGNORED, 0))
    assert [samples[name].fractured for name in ("a0", "a1")] == [True, False]
    assert "a0: 60 pixels are annotated as a crowd (iscrowd)" in lines(prepared, "ignored")


def test_several_categories_need_a_choice(source: Source, tmp_path: Path) -> None:
    both = [annotation(0, [SQUARE], category_id=1), annotation(0, [PLATE], category_id=2)]
    folder = source({"c.json": coco(*both, annotation(1, [PLATE], category_id=2), categories=CATEGORIES)})
    message = refused(folder, tmp_path)
    assert "annotations of 2 categories: hardware (2), Fracture (1); choose with --category NAME" in message
    assert "--category leg: no such annotations; expected one of" in refused(folder, tmp_path, categories=["leg"])
    prepared = prepare(folder, tmp_path / "out", categories=["fracture"])
    assert pixels(prepared) == {"a0": 240}
    assert lines(prepared, "category") == [f"{folder}: 2 annotations of hardware left out (--category)"]
    assert pixels(prepare(folder, tmp_path / "both", categories=["fracture", "hardware"])) == {"a0": 440, "a1": 200}


def test_unused_categories_need_no_choice(source: Source, tmp_path: Path) -> None:
    folder = source({"c.json": coco(annotation(0, [SQUARE], category_id=1), categories=CATEGORIES)})
    assert pixels(prepare(folder, tmp_path / "out")) == {"a0": 240}


def test_categories_of_fracatlas_need_a_choice_too(fracatlas: TinyFracAtlas, tmp_path: Path) -> None:
    fracatlas.add("IMG1", fractured=True, polygons=[SQUARE, PLATE])
    for number, entry in enumerate(fracatlas.annotations):
        entry["category_id"] = number
    with pytest.raises(BadInput, match=re.escape("categories: category 0 (1), category 1 (1); choose")):
        prepare(fracatlas.write(), tmp_path / "out")
    prepared = prepare(fracatlas.folder, tmp_path / "out", categories=["category 0"])
    assert pixels(prepared) == {"IMG1": 240}


def test_run_lengths_among_the_polygons_of_fracatlas(fracatlas: TinyFracAtlas, tmp_path: Path) -> None:
    fracatlas.add("IMG1", fractured=True, polygons=[SQUARE])
    fracatlas.add("IMG2", fractured=True, polygons=[SQUARE])
    square = np.zeros((40, 64), bool)
    square[8:20, 10:30] = True
    fracatlas.annotations[0]["segmentation"] = encoded(square)
    fracatlas.annotations[1]["segmentation"] = SQUARE
    fracatlas.images[1]["file_name"] = "folder\\IMG2.jpg"
    assert pixels(prepare(fracatlas.write(), tmp_path / "out")) == {"IMG1": 240, "IMG2": 240}


def test_an_id_of_two_images_is_refused(source: Source, tmp_path: Path) -> None:
    document = coco(annotation(0, [SQUARE]))
    document["images"][4]["id"] = 0
    assert "c.json: images: id 0 belongs to a0.png, a4.png" in refused(source({"c.json": document}), tmp_path)


def test_files_are_joined_by_file_name_and_never_by_id(source: Source, tmp_path: Path) -> None:
    second = coco(annotation(0, [PLATE]), annotation(1, [PLATE]))
    second["images"] = [{"id": 0, "file_name": "a5.png"}, {"id": 1, "file_name": "a0.png"}]
    folder = source({"one.json": coco(annotation(0, [SQUARE])), "two.json": second})
    assert pixels(prepare(folder, tmp_path / "out")) == {"a0": 440, "a5": 200}


@pytest.mark.parametrize("name", ["images/é.png", "..\\images\\é.png", "/home/me/É.PNG", "é.jpg", "é"])
def test_names_with_folders_backslashes_cases_and_other_forms(source: Source, tmp_path: Path, name: str) -> None:
    document = coco(annotation(0, [SQUARE]))
    document["images"][0]["file_name"] = name
    folder = source({"c.json": document})
    (folder / "images" / "a0.png").rename(folder / "images" / unicodedata.normalize("NFD", "é.png"))
    (mask,) = pixels(prepare(folder, tmp_path / "out")).values()
    assert mask == 240


def test_equal_names_in_split_folders_belong_to_the_file_of_their_split(tmp_path: Path, source: Source) -> None:
    """Roboflow: train/_annotations.coco.json and valid/_annotations.coco.json; COCO: instances_val2017.json."""
    for number, split in enumerate(("train", "valid")):
        save_image(tmp_path / "source" / split / "x.png", 20 + number)
    one = {"images": [{"id": 7, "file_name": "x.png"}], "annotations": [annotation(7, [SQUARE])]}
    two = {"images": [{"id": 7, "file_name": "x.png"}], "annotations": [annotation(7, [PLATE])]}
    names = "train/_annotations.coco.json", "valid/_annotations.coco.json"
    folder = source(dict(zip(names, (one, two), strict=True)), images="train")
    prepared = prepare(folder, tmp_path / "out")
    assert pixels(prepared) == {"train_x": 240, "valid_x": 200}
    assert {s.split for s in read_manifest(prepared.manifest)} == {"train", "val"}
    for name in names:
        (folder / name).unlink()
    others = source({"annotations/instances_train2017.json": one, "annotations/instances_val2017.json": two}, "train")
    assert pixels(prepare(others, tmp_path / "out2")) == {"train_x": 240, "valid_x": 200}


def test_splits_of_some_images_only_are_not_used_and_that_is_listed(tmp_path: Path, source: Source) -> None:
    save_image(tmp_path / "source" / "more" / "b0.png", 30)
    prepared = prepare(source({"c.json": coco(annotation(0, [SQUARE]))}, images="train"), tmp_path / "out")
    assert lines(prepared, "split") == [
        "8 of 9 images have a split in their folder or annotation file: these splits are not used"
    ]
    assert {sample.split for sample in read_manifest(prepared.manifest)} > {"train"}


def test_a_name_that_matches_several_images_is_refused(tmp_path: Path, source: Source) -> None:
    save_image(tmp_path / "source" / "more" / "a0.png", 30)
    assert "a0.png: matches " in refused(source({"c.json": coco(annotation(0, [SQUARE]))}), tmp_path)


def test_two_pictures_of_one_file_that_match_one_image_are_refused(tmp_path: Path, source: Source) -> None:
    document = coco(annotation(0, [SQUARE]))
    document["images"][1]["file_name"] = "patient2/a0.png"
    assert "several pictures of one annotation file match" in refused(source({"c.json": document}), tmp_path)


def test_annotations_of_missing_images_are_lost(source: Source, tmp_path: Path) -> None:
    folder = source({"c.json": coco(annotation(0, [SQUARE]), annotation(1, [SQUARE]), annotation(77, [SQUARE]))})
    (folder / "images" / "a1.png").unlink()
    message = refused(folder, tmp_path)
    assert "a1.png: 1 annotations, no such image" in message
    assert "image_id 77 (not among the file's images): 1 annotations, no such image" in message
    assert (
        "2 of 3 masks or annotations are lost or look inverted; at most 2% are accepted without --accept-losses"
        in message
    )
    assert pixels(prepare(folder, tmp_path / "out", accept_losses=True)) == {"a0": 240}


def test_a_file_whose_images_are_all_missing_is_refused(tmp_path: Path, source: Source) -> None:
    folder = source({"c.json": coco(annotation(0, [SQUARE]))}, suffix=".png")
    for path in (folder / "images").iterdir():
        path.rename(path.with_name(f"other_{path.name}"))
    assert "no image that the annotations name; expected them beside or below" in refused(folder, tmp_path)


def test_normalised_coordinates_are_recognised_in_the_whole_set(source: Source, tmp_path: Path) -> None:
    fractions = [value / (40 if index % 2 else 64) for index, value in enumerate(SQUARE)]
    prepared = prepare(source({"c.json": coco(annotation(0, [fractions]))}), tmp_path / "out")
    assert pixels(prepared) == {"a0": 240}
    assert "taken as fractions of the pictures" in lines(prepared, "normalised")[0]


def test_boxes_among_outlines_are_lost(source: Source, tmp_path: Path) -> None:
    boxes = annotation(0, [], bbox=[1, 1, 9, 9]), annotation(1, [SQUARE]), {"image_id": 2, "bbox": [1, 1, 9, 9]}
    folder = source({"c.json": coco(*boxes)})
    assert "a0: shape 1 is a box; expected an outline or a mask, left out" in refused(folder, tmp_path)
    only = source({"c.json": coco(boxes[0], boxes[2])})
    assert "no annotation has an outline or a mask: box (2)" in refused(only, tmp_path)


def test_an_annotated_picture_of_another_size_is_refused(source: Source, tmp_path: Path) -> None:
    document = coco(annotation(0, [SQUARE]))
    document["images"][0]["width"] = 640
    assert "expected 64 x 40 pixels like its image (upright), got 640 x 40" in refused(
        source({"c.json": document}), tmp_path
    )


def test_category_without_annotation_files_is_refused(folder: Callable[..., Path], tmp_path: Path) -> None:
    made = folder({"images/a.png": 1}, {"masks/a.png": (1, 1, 9, 9)})
    assert "--category and --crowd: expected annotation files, got folder" in refused(made, tmp_path, categories=["x"])
