"""Annotation files as other tools write them: every fracture comes out, or the preparation stops with a reason."""

from __future__ import annotations

import io
import json
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine.cli import main, make_parser
from engine.contract.errors import BadInput, Exit
from engine.data.images import read_mask
from engine.data.manifest import read_manifest
from engine.prepare.annotations.read import FORMATS
from engine.prepare.prepare import Prepared, prepare

from ..conftest import grey, save_image
from ..test_dicom import save_dicom
from .conftest import SQUARE, annotation, coco

Source = Callable[..., Path]
SIDES = {"all_points_x": [10, 30, 30, 10], "all_points_y": [8, 8, 20, 20]}
REGION = {"shape_attributes": {"name": "polygon", **SIDES}, "region_attributes": {"label": "fracture"}}
LINE = "0 0.15625 0.2 0.46875 0.2 0.46875 0.5 0.15625 0.5\n"
CVAT = '<annotations><image id="0" name="a0.png" width="64" height="40">{}</image></annotations>'
RUNS = " ".join(f"{column * 40 + 9} 12" for column in range(10, 30))


def pixels(prepared: Prepared) -> dict[str, int]:
    """The number of fracture pixels of each positive."""
    return {s.id: int(read_mask(s.mask).sum()) for s in read_manifest(prepared.manifest) if s.mask and s.fractured}


def lines(prepared: Prepared, kind: str) -> list[str]:
    return [flaw.line for flaw in prepared.flaws if flaw.kind == kind]


def refused(source: Path, tmp_path: Path, **options: object) -> str:
    """The message of a refused preparation, of which nothing remains."""
    with pytest.raises(BadInput) as caught:
        prepare(source, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())
    assert all(line.isprintable() for line in caught.value.lines)
    return str(caught.value)


@pytest.mark.parametrize(
    ("fixture", "options", "expected"),
    [
        ("datumaro_coco", {"crowd": "fracture"}, {"a0": 240, "a1": 240, "a2": 240, "a3": 200}),
        ("datumaro_coco", {"crowd": "ignore"}, {"a0": 240, "a1": 240, "a2": 240}),
        ("datumaro_cvat", {}, {"a0": 240, "a1": 240, "a2": 240, "a3": 200}),
        ("supervision_coco", {}, {"a0": 209, "a1": 209, "a2": 209, "a3": 209}),
        ("supervision_yolo", {}, {"a0": 209, "a1": 209, "a2": 209, "a3": 209}),
        ("labelme", {}, {"a0": 240, "a1": 200, "a2": 312, "a3": 256}),
    ],
)
def test_fixtures_of_the_tools_come_out_whole(
    source: Source, tmp_path: Path, fixture: str, options: dict[str, str], expected: dict[str, int]
) -> None:
    prepared = prepare(source(fixture), tmp_path / "out", **options)
    assert pixels(prepared) == expected
    assert lines(prepared, "no annotation")[0].startswith(
        f"{8 - len(expected) - (options == {'crowd': 'ignore'})} of 8"
    )


def test_the_split_of_datumaros_file_names_is_kept(source: Source, tmp_path: Path) -> None:
    prepared = prepare(source("datumaro_cvat"), tmp_path / "out")
    assert {s.id: s.split for s in read_manifest(prepared.manifest)} == {
        f"a{i}": "train" if i % 2 else "val" for i in range(8)
    }


def test_a_brush_mask_that_is_written_as_a_crowd_is_no_silent_negative(source: Source, tmp_path: Path) -> None:
    """Datumaro and CVAT write iscrowd 1 for every mask."""
    message = refused(source("datumaro_crowd"), tmp_path)
    assert "1 annotations have iscrowd 1: ignored areas" in message
    assert "--crowd fracture is for brush masks of CVAT" in message


def test_boxes_alone_are_refused(source: Source, tmp_path: Path) -> None:
    assert "no annotation has an outline or a mask: box (1)" in refused(source("labelme_boxes"), tmp_path)


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"via.json": {"a0.png123": {"filename": "a0.png", "size": 123, "regions": [REGION]}}}, 240),
        ({"via.json": {"a0.png": {"filename": "a0.png", "regions": {"0": REGION}}}}, 240),  # VIA 1, makesense.ai
        ({"via.json": {"_via_img_metadata": {"x": {"filename": "a0.png", "regions": [REGION]}}}}, 240),
        (
            {"via.json": {"x": {"filename": "a0.png", "regions": [
                {"shape_attributes": {"name": "circle", "cx": 30, "cy": 20, "r": 10}, "region_attributes": {}}]}}},
            312,
        ),
        (
            {"via.csv": b'filename,region_shape_attributes,region_attributes\na0.png,"'
             + json.dumps(REGION["shape_attributes"]).replace('"', '""').encode() + b'","{}"\na1.png,"{}","{}"\n'},
            240,
        ),
        ({"labels/a0.txt": LINE.encode(), "labels/a1.txt": b"", "data.yaml": b"train: x\nnames: [fracture]\n"}, 240),
        ({"labels/a0.txt": LINE.encode(), "data.yaml": b"nc: 1\nnames: {0: fracture}\n"}, 240),
        ({"annotations.xml": CVAT.format('<polygon label="f" points="10,8;30,8;30,20;10,20"/>').encode()}, 240),
        ({"a.xml": CVAT.format('<mask label="f" rle="1, 2, 3" left="4" top="5" width="3" height="2"/>').encode()}, 2),
        ({"a.xml": CVAT.format('<ellipse label="f" cx="30" cy="20" rx="10" ry="5" rotation="90"/>').encode()}, 157),
        ({"train.csv": f"ImageId,EncodedPixels\na0.png,{RUNS}\na1.png,-1\na2.png,\n".encode()}, 240),
        ({"train.csv": f"image_id,rle\na0,{RUNS}\n".encode()}, 240),
        ({"coco/instances.json": coco(annotation(0, [SQUARE]))}, 240),
        ({"coco.json": coco(annotation("0", SQUARE))}, 240),  # flat, an id as text
    ],
)  # fmt: skip
def test_each_form_of_each_format_is_read(
    source: Source, tmp_path: Path, files: dict[str, object], expected: int
) -> None:
    prepared = prepare(source(files), tmp_path / "out")
    found = pixels(prepared)
    assert found.keys() == {"a0"}
    assert found["a0"] == pytest.approx(expected, abs=5)
    if expected == 240:
        (positive,) = (sample for sample in read_manifest(prepared.manifest) if sample.fractured)
        square = np.zeros((40, 64), bool)
        square[8:20, 10:30] = True
        assert np.array_equal(read_mask(positive.mask), square)
    assert lines(prepared, "no annotation")[0].startswith("7 of 8 images have no annotation: taken as not fractured")


@pytest.mark.parametrize(
    ("files", "told"),
    [
        (
            {"a.xml": CVAT.format("<mask rle='9' left='0' top='0' width='3' height='2'/>").encode()},
            "9 pixels in its run",
        ),
        ({"a.xml": b'<!DOCTYPE a [<!ENTITY b "c">]><annotations/>'}, "a.xml: has a document type"),
        ({"a.xml": b"<annotations><track/></annotations>"}, "annotations of a video (track); expected CVAT for images"),
        ({"labels/a0.txt": LINE.encode() + b"0 0.5 x\n"}, "line 2: expected a class and x y x y …"),
        (
            {"labels/a0.txt": b"0 10 8 30 8 30 20 10 20\n"},
            "20 10 20' (10 is beyond 0 and 1) (read as YOLO",
        ),
        ({"labels/a0.txt": LINE.encode(), "labels/a1.txt": b"fracture 1 2\n"}, "a1.txt: line 1: expected a class"),
        ({"labels/a0.txt": b"0 0.5 0.5 0.2 0.2\n"}, "no annotation has an outline or a mask: box (1)"),
        ({"t.csv": b"ImageId,EncodedPixels\na0,1 2 three\n"}, "line 2: encodedpixels: expected start and length pairs"),
        ({"t.csv": b"ImageId,EncodedPixels\na0,5 3 2 1\n"}, "(a run 2 1 after pixel 7; they count from 1 down"),
        ({"t.csv": b"ImageId,EncodedPixels\na0,2560 2\n"}, "has counts of 2561 pixels; expected 40 x 64 = 2560"),
        ({"a0.json": {"shapes": [{"label": "f"}], "imagePath": "a0.png"}}, "shapes[0]: expected a LabelMe shape"),
        ({"v.json": {"a": {"filename": "a0.png", "regions": [3]}}}, "expected a VIA region, got 3"),
        (
            {"v.json": {"a": {"filename": "a0.png", "regions": [REGION]}, "b": 3}},
            "expected an object with filename and",
        ),
        ({"broken.json": b'{"images": ['}, "broken.json: not JSON"),
        ({"broken.json": b'{"images": ['}, "(taken for COCO)"),
        ({"broken.json": b'{"shapes": [], "imagePath": "a0.png"'}, "(taken for LabelMe)"),
        ({"broken.json": b'{"a0": {"filename": "a0.png", "regions": ['}, "(taken for VGG VIA)"),
        ({"broken.json": b"{"}, "(taken for COCO or LabelMe or VGG VIA)"),
        ({"deep/broken.xml": b"<annotations><image"}, "(taken for CVAT XML)"),
        ({"c.json": coco(annotation(0, [SQUARE]), {"image_id": []})}, "annotations.1.image_id"),
        ({"c.json": coco(annotation(0, [SQUARE])), "labels/a0.txt": LINE.encode()}, "several formats: yolo (1 files)"),
        ({"c.json": coco(annotation(0, [SQUARE])), "masks/a0.png": b""}, "1 mask files, such as"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_reason(
    source: Source, tmp_path: Path, files: dict[str, object], told: str
) -> None:
    if "several formats" in told:
        files = dict(reversed(files.items()))
        told = "annotations in several formats"
    assert told in refused(source(files), tmp_path)


def test_all_bad_lines_of_all_files_come_at_once_with_the_format(source: Source, tmp_path: Path) -> None:
    files = {f"a{i}.json": {"shapes": [{"label": "f"}, 3], "imagePath": "x"} for i in range(3)}
    message = refused(source(files, images="."), tmp_path).splitlines()
    assert [line.count("(read as LabelMe)") for line in message] == [1] * 6


def test_files_that_no_reader_explains_are_named(source: Source, tmp_path: Path) -> None:
    files = {"c.json": coco(annotation(0, [SQUARE])), "other.json": {"a": 1}, "notes.txt": b"hello"}
    folder = source(files)
    assert lines(prepare(folder, tmp_path / "out"), "unexplained") == [
        f"{folder / 'other.json'}: not recognised as annotations",
        f"{folder / 'notes.txt'}: not recognised as annotations",
    ]
    assert "no annotation file was recognised; expected LabelMe" in refused(folder, tmp_path / "2", format="labelme")
    assert "c.json: is COCO, not read as labelme" in refused(folder, tmp_path / "3", format="labelme")


def test_an_unknown_file_in_a_folder_of_masks_is_named(folder: Callable[..., Path], tmp_path: Path) -> None:
    made = folder({"images/a.png": 1}, {"masks/a.png": (1, 1, 9, 9)})
    (made / "other.json").write_text("{}")
    assert len(lines(prepare(made, tmp_path / "out"), "unexplained")) == 1


@pytest.mark.parametrize("name", ["annotations/instances.json", "images/c.json", "c.json"])
def test_an_annotation_file_is_a_source_with_its_images_below_or_beside(
    source: Source, tmp_path: Path, name: str
) -> None:
    folder = source({name: coco(annotation(0, [SQUARE]))})
    prepared = prepare(folder / name, tmp_path / "out")
    assert pixels(prepared) == {"a0": 240}
    assert len(read_manifest(prepared.manifest)) == 8


def test_images_of_another_annotation_file_are_no_negatives(source: Source, tmp_path: Path) -> None:
    """instances_train.json as the source, with the images of both splits in one folder."""
    documents = [coco(annotation(i, [SQUARE])) for i in (0, 7)]
    for document, part in zip(documents, (slice(4), slice(4, 8)), strict=True):
        document["images"] = document["images"][part]
    names = "annotations/instances_train.json", "annotations/instances_val.json"
    folder = source(dict(zip(names, documents, strict=True)))
    prepared = prepare(folder / names[0], tmp_path / "out")
    assert [sample.id for sample in read_manifest(prepared.manifest)] == ["a0", "a1", "a2", "a3"]
    assert lines(prepared, "unlisted") == [
        "4 images are not in the annotation file: left out, because there are others beside it, "
        "such as instances_val.json"
    ]


def test_a_preparation_inside_its_source_can_be_repeated(source: Source) -> None:
    folder = source({"c.json": coco(annotation(0, [SQUARE]))})
    first = prepare(folder, folder / "out")
    assert pixels(prepare(folder, folder / "out")) == pixels(first) == {"a0": 240}
    assert lines(first, "unexplained") == []


def test_the_command_line_has_every_format_and_option(source: Source, tmp_path: Path) -> None:
    parser = make_parser()
    for name in FORMATS:
        assert parser.parse_args(["prepare", "x", "--output", "y", "--format", name]).format == name
    folder, out = source("datumaro_coco"), str(tmp_path / "out")
    assert main(["prepare", str(folder), "--output", out]) == Exit.BAD_INPUT
    assert main(["prepare", str(folder), "--output", out, "--accept-losses"]) == Exit.DONE
    choice = ["--category", "fracture", "--crowd", "fracture"]
    assert main(["prepare", str(folder), "--output", out, *choice]) == Exit.BAD_INPUT
    assert main(["prepare", str(folder), "--output", out, *choice, "--overwrite"]) == Exit.DONE
    assert sum(sample.fractured for sample in read_manifest(tmp_path / "out" / "manifest.csv")) == 4


def test_an_image_whose_annotations_cannot_be_drawn_is_no_negative(source: Source, tmp_path: Path) -> None:
    folder = source({"c.json": coco(annotation(0, [[1, 2]]), annotation(1, [SQUARE]))})
    prepared = prepare(folder, tmp_path / "out", accept_losses=True)
    assert "a0" not in {sample.id for sample in read_manifest(prepared.manifest)}
    assert lines(prepared, "left out") == ["a0: left out, because its mask or annotations are lost"]


def test_a_labelme_mask_of_several_values_is_refused(source: Source, tmp_path: Path) -> None:
    png = io.BytesIO()
    Image.fromarray(np.array([[0, 1], [255, 1]], np.uint8)).save(png, "PNG")
    shape = {
        "label": "f",
        "points": [[10, 8], [11, 9]],
        "shape_type": "mask",
        "mask": b64encode(png.getvalue()).decode(),
    }
    message = refused(source({"a0.json": {"shapes": [shape], "imagePath": "a0.png"}}, images="."), tmp_path)
    assert "mask of several values" in message


def test_a_labelme_file_of_two_images_is_refused(source: Source, tmp_path: Path) -> None:
    """Its name is a0, its imagePath names a1.png, and both exist."""
    shape = {"label": "f", "points": [[10, 8], [30, 8], [30, 20]], "shape_type": "polygon"}
    message = refused(source({"a0.json": {"shapes": [shape], "imagePath": "a1.png"}}, images="."), tmp_path)
    assert "a0.png and" in message
    assert "expected one image" in message


def test_names_that_differ_in_their_letter_case_match_exactly(source: Source, tmp_path: Path) -> None:
    folder = source({"c.json": coco(annotation(0, [SQUARE]))})
    save_image(folder / "images" / "A0.png", 20)
    assert pixels(prepare(folder, tmp_path / "out")) == {"a0": 240}


def test_ids_with_dots_are_not_cut(source: Source, tmp_path: Path) -> None:
    folder = source({"t.csv": f"ImageId,EncodedPixels\n1.2.84,{RUNS}\na0,{RUNS}\n".encode()})
    save_image(folder / "images" / "1.2.png", 20)
    assert "t.csv: 1.2.84: 1 annotations, no such image" in refused(folder, tmp_path)


def test_radiographs_in_a_folder_called_labels(source: Source, tmp_path: Path) -> None:
    folder = source({"labels/a0.txt": LINE.encode()}, images="labels")
    assert pixels(prepare(folder, tmp_path / "out")) == {"a0": 240}


def test_dicom_images_are_joined_too(source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    folder = source({"t.csv": f"ImageId,EncodedPixels\n1.2.84,{RUNS}\n".encode()})
    save_dicom(folder / "images" / "1.2.84.dcm", grey(20).astype(np.uint16))
    prepared = prepare(folder, tmp_path / "out")
    assert pixels(prepared) == {"1.2.84": 240}
    assert len(read_manifest(prepared.manifest)) == 9


def test_data_yaml_is_a_source(source: Source, tmp_path: Path) -> None:
    folder = source("supervision_yolo")
    assert pixels(prepare(folder / "data.yaml", tmp_path / "out")).keys() == {"a0", "a1", "a2", "a3"}


def test_a_second_preparation_after_a_refused_one_works(source: Source, tmp_path: Path) -> None:
    folder = source({"c.json": coco(annotation(0, [[1, 2]]))})
    assert "1 of 1 masks or annotations are lost" in refused(folder, tmp_path)
    (folder / "c.json").write_text(json.dumps(coco(annotation(0, [SQUARE]))))
    assert pixels(prepare(folder, tmp_path / "out")) == {"a0": 240}


def test_images_of_formats_that_are_not_read_are_listed(source: Source, tmp_path: Path) -> None:
    folder = source({"c.json": coco(annotation(0, [SQUARE]))})
    (folder / "images" / "a9.heic").write_bytes(b"x")
    (line,) = lines(prepare(folder, tmp_path / "out"), "not read")
    assert line.startswith(f"1 .heic files ({folder}/images/a9.heic): left out")


def test_a_broken_file_beside_masks_stops_the_preparation(folder: Callable[..., Path], tmp_path: Path) -> None:
    made = folder({"images/a.png": 1, "images/b.png": 2}, {"masks/a.png": (1, 1, 9, 9)})
    (made / "images" / "broken.json").write_text('{"annotations": [')
    assert "images/broken.json: not JSON: Expecting value" in refused(made, tmp_path)
    assert len(read_manifest(prepare(made, tmp_path / "out", format="folder").manifest)) == 2


def test_a_table_of_another_encoding_beside_masks_is_named(folder: Callable[..., Path], tmp_path: Path) -> None:
    made = folder({"images/a.png": 1, "images/b.png": 2}, {"masks/a.png": (1, 1, 9, 9)})
    (made / "patients.csv").write_bytes("id;Größe\n1;2\n".encode("cp1252"))
    assert lines(prepare(made, tmp_path / "out"), "unexplained") == [
        f"{made / 'patients.csv'}: not recognised as annotations"
    ]
