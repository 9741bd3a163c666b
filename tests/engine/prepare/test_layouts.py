"""Folders as other tools lay them out are read, or refused with the layouts that were looked for."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.contract.errors import BadInput
from engine.data.manifest import read_manifest
from engine.prepare.annotations.shapes import Flaw
from engine.prepare.layouts import read_folder
from engine.prepare.losses import loss_problems
from engine.prepare.prepare import prepare

from .conftest import save_mask

SQUARE = (10, 8, 30, 20)
LAYOUTS = {
    "nnunet": ("imagesTr/case_{i:03}_0000.png", "labelsTr/case_{i:03}.png"),
    "voc": ("VOC2012/JPEGImages/a{i}.jpg", "VOC2012/SegmentationClass/a{i}.png"),
    "mmseg": ("img_dir/{split}/a{i}.png", "ann_dir/{split}/a{i}.png"),
    "labels": ("images/a{i}.png", "labels/a{i}.png"),
    "imgs": ("imgs/a{i}.png", "masks/a{i}.png"),
    "img": ("img/a{i}.png", "gt/a{i}.png"),
    "annotations": ("Images/a{i}.png", "Annotations/a{i}.png"),
    "seg_suffix": ("images/a{i}.png", "masks/a{i}_seg.png"),
    "gt_suffix": ("a{i}.png", "a{i}_gt.png"),
    "mask_prefix": ("images/a{i}.png", "masks/mask_a{i}.png"),
    "prefix_beside": ("a{i}.png", "mask_a{i}.png"),
    "roboflow": ("{split}/a{i}_jpg.rf.0f.jpg", "{split}/a{i}_jpg.rf.0f_mask.png"),
    "split_first": ("{split}/images/a{i}.png", "{split}/masks/a{i}.png"),
    "image_first": ("images/{split}/a{i}.png", "masks/{split}/a{i}.png"),
    "other_case": ("images/A{i}.PNG", "masks/a{i}.png"),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_each_layout_gives_its_masks_and_its_split(layout: str, folder: Callable[..., Path], tmp_path: Path) -> None:
    image, mask = LAYOUTS[layout]
    splits = ["train", "train", "valid", "valid", "test", "test"]
    source = folder(
        {image.format(i=i, split=split): i for i, split in enumerate(splits)},
        {mask.format(i=i, split=split): SQUARE for i, split in enumerate(splits) if i % 2 == 0},
    )
    samples = read_manifest(prepare(source, tmp_path / "out").manifest)
    fractured = {
        sample.image.stem.removesuffix("_0000")[-1 if layout != "roboflow" else 1]
        for sample in samples
        if sample.fractured
    }
    assert (len(samples), fractured) == (6, {"0", "2", "4"})
    if "{split}" in image:
        assert [sample.split for sample in sorted(samples, key=lambda s: s.image.name)] == [
            {"valid": "val"}.get(split, split) for split in splits
        ]


@pytest.mark.parametrize(
    "images",
    [
        {"images/a.png": 1, "images/b.png": 2},
        {"pictures/a.png": 1, "truth/a.png": 2},
        {"images/normal/a.png": 1, "images/b.png": 2},
    ],
)
def test_a_set_without_masks_is_refused_with_the_layouts(
    folder: Callable[..., Path], tmp_path: Path, images: dict[str, int]
) -> None:
    with pytest.raises(BadInput, match=r"2 images, but no masks; expected a folder images, .*nnU-Net \(imagesTr"):
        prepare(folder(images), tmp_path / "out", accept_losses=True)
    assert not (tmp_path / "out").exists()


def test_class_folders_label_a_set_without_masks(folder: Callable[..., Path], tmp_path: Path) -> None:
    prepared = prepare(folder({"normal/a.png": 1, "normal/b.png": 2}), tmp_path / "out")
    assert [sample.fractured for sample in read_manifest(prepared.manifest)] == [False, False]


def test_fractures_without_any_mask_are_losses(folder: Callable[..., Path], tmp_path: Path) -> None:
    source = folder({"normal/a.png": 1, "fractured/b.png": 2})
    with pytest.raises(BadInput, match=r"b\.png: in a folder of fractures, no mask"):
        prepare(source, tmp_path / "out")
    prepare(source, tmp_path / "out", accept_losses=True)


def test_masks_without_an_image_stop_beyond_2_percent_unless_accepted(
    folder: Callable[..., Path], tmp_path: Path
) -> None:
    source = folder({"images/a.png": 1, "images/b.png": 2}, {"masks/a.png": SQUARE, "masks/z.png": SQUARE})
    with pytest.raises(BadInput) as caught:
        prepare(source, tmp_path / "out")
    assert caught.value.lines == (
        f"{source / 'masks/z.png'}: expected one image of that name; left out",
        "1 of 2 masks or annotations are lost or look inverted; at most 2% are accepted without --accept-losses",
    )
    flaws = prepare(source, tmp_path / "out", accept_losses=True).flaws
    assert Flaw("no mask", "1 of 2 images have no mask: taken as not fractured") in flaws


@pytest.mark.parametrize(("lost", "stops"), [(0, False), (2, False), (3, True)])
def test_the_limit_is_2_of_100(lost: int, stops: bool) -> None:
    flaws = [Flaw("mask alone", "line", 1)] * lost
    assert bool(loss_problems(flaws, 100, False)) is stops
    assert loss_problems(flaws, 100, True) == []


def test_a_mask_is_never_taken_for_a_radiograph(folder: Callable[..., Path]) -> None:
    source = folder(
        {"images/a.png": 1, "images/b.png": 2, "preview.png": 3},
        {"masks/a.png": SQUARE, "images/b_mask.png": SQUARE, "images/masks/x.png": SQUARE},
    )
    loaded = read_folder(source)
    assert [(case.id, case.mask.name if isinstance(case.mask, Path) else None) for case in loaded.cases] == [
        ("a", "a.png"),
        ("b", "b_mask.png"),
    ]
    assert {flaw.kind for flaw in loaded.flaws} == {"left out", "mask alone"}


def test_names_match_across_unicode_forms(folder: Callable[..., Path]) -> None:
    composed, decomposed = (unicodedata.normalize(form, "Müller") for form in ("NFC", "NFD"))
    source = folder({f"images/{composed}.png": 1}, {f"masks/{decomposed}.png": SQUARE})
    (case,) = read_folder(source).cases
    assert case.mask == source / f"masks/{decomposed}.png"


def test_test_images_that_came_without_masks_are_left_out_and_listed(folder: Callable[..., Path]) -> None:
    source = folder(
        {f"imagesTr/a{n}_0000.png": n for n in range(3)} | {"imagesTs/b_0000.png": 9}, {"labelsTr/a1.png": SQUARE}
    )
    loaded = read_folder(source)
    assert [(case.id, case.split) for case in loaded.cases] == [("a0", None), ("a1", None), ("a2", None)]
    assert Flaw("left out", "1 images of test: no mask among them, so they may be unlabelled") in loaded.flaws


def test_a_second_channel_of_nnunet_is_refused(folder: Callable[..., Path]) -> None:
    source = folder({"imagesTr/a_0000.png": 1, "imagesTr/a_0001.png": 2}, {"labelsTr/a.png": SQUARE})
    (problem,) = read_folder(source).problems
    assert "a_0001.png: channel 0001 of nnU-Net; expected images of one channel" in problem


def test_voc_lists_give_images_and_splits(folder: Callable[..., Path]) -> None:
    source = folder(
        {f"JPEGImages/{name}.jpg": n for n, name in enumerate("abcd")},
        {"SegmentationClass/a.png": SQUARE, "SegmentationClass/b.png": SQUARE, "SegmentationObject/a.png": SQUARE},
    )
    lists = source / "ImageSets/Segmentation"
    lists.mkdir(parents=True)
    for name, content in {"train": "a\n", "val": "b\n", "test": "c\n", "trainval": "a\nb\n"}.items():
        (lists / f"{name}.txt").write_text(content)
    loaded = read_folder(source)
    assert [(case.id, case.split) for case in loaded.cases] == [("a", "train"), ("b", "val")]
    lines = [flaw.line for flaw in loaded.flaws]
    assert "1 images of JPEGImages: in no list of ImageSets/Segmentation" in lines
    assert any("SegmentationObject" in line for line in lines)


def test_the_output_below_the_source_is_no_source(folder: Callable[..., Path]) -> None:
    source = folder({"a.png": 1, "b.png": 2}, {"a_mask.png": SQUARE})
    first = read_manifest(prepare(source, source / "prepared").manifest)
    again = read_manifest(prepare(source, source / "prepared").manifest)
    assert first == again


def test_formats_that_are_not_read_are_listed(folder: Callable[..., Path]) -> None:
    source = folder({"images/a.png": 1}, {"masks/a.png": SQUARE})
    (source / "images/b.webp").write_bytes(b"RIFF")
    (flaw,) = read_folder(source).flaws
    assert flaw.kind == "not read"
    assert "b.webp" in flaw.line


def test_split_folders_that_do_not_cover_all_images_are_reported(folder: Callable[..., Path]) -> None:
    source = folder({"train/a.png": 1, "val/b.png": 2, "c.png": 3})
    for name in ("train/a_mask.png", "val/b_mask.png", "c_mask.png"):
        save_mask(source / name, SQUARE)
    loaded = read_folder(source)
    assert {case.split for case in loaded.cases} == {None}
    assert any(flaw.kind == "split folders" for flaw in loaded.flaws)
