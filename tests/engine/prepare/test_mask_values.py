"""The meaning of mask values: one decision for a set, a refusal where there is more than one, findings, losses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from engine.cli import main
from engine.contract.errors import BadInput
from engine.data.images import IGNORED, read_labels
from engine.data.manifest import read_manifest
from engine.prepare.prepare import prepare, report_lines

from .conftest import save_image

BLOB = np.zeros((40, 64), np.uint8)
BLOB[10:20, 30:50] = 1
TWO = BLOB.copy()
TWO[30:35, 5:15] = 2
EDGE = BLOB.copy()
EDGE[0:4] = 255


def palette(indices: np.ndarray, *colours: tuple[int, int, int]) -> Image.Image:
    image = Image.fromarray(indices)
    image.putpalette([channel for colour in colours for channel in colour] + [0] * (768 - 3 * len(colours)))
    return image


def rgba(colour: tuple[int, int, int], alpha: int) -> Image.Image:
    pixels = np.zeros((40, 64, 4), np.uint8)
    pixels[BLOB == 1] = (*colour, alpha)
    return Image.fromarray(pixels)


def voc() -> Image.Image:
    pixels = np.zeros((40, 64, 3), np.uint8)
    pixels[TWO == 1], pixels[TWO == 2] = (128, 0, 0), (0, 128, 0)
    return Image.fromarray(pixels)


def source(folder: Path, **masks: Any) -> Path:
    """A folder with an image and a mask for each name: an image, or an array that is saved as PNG or .npy."""
    (folder / "s/masks").mkdir(parents=True)
    for number, (name, mask) in enumerate(masks.items()):
        save_image(folder / f"s/images/{name}.png", number)
        if name.startswith("npy"):
            np.save(folder / f"s/masks/{name}.npy", mask)
        else:
            image = Image.fromarray(mask) if isinstance(mask, np.ndarray) else mask
            suffix = name.partition("_")[0] if name.partition("_")[0] in ("jpg", "tif") else "png"
            image.save(folder / f"s/masks/{name}.{suffix}")
    return folder / "s"


def labels(folder: Path, **options: Any) -> dict[str, np.ndarray]:
    prepared = prepare(folder, folder.parent / "out", **options)
    return {sample.id: read_labels(sample.mask) for sample in read_manifest(prepared.manifest) if sample.mask}


@pytest.mark.parametrize(
    ("mask", "expected"),
    [
        (BLOB, BLOB),
        (BLOB * 255, BLOB),
        (BLOB * 128, BLOB),
        (BLOB.astype(np.uint16), BLOB),
        (BLOB.astype(np.uint16) * 65535, BLOB),
        (TWO, TWO),
        (palette(BLOB, (0, 0, 0), (0, 0, 0)), BLOB),
        (palette(TWO, (0, 0, 0), (128, 0, 0), (64, 0, 0)), TWO),
        (rgba((255, 0, 0), 128), BLOB),
        (Image.fromarray(BLOB * 255).convert("1"), BLOB),
    ],
)
def test_masks_with_one_meaning_are_read_whatever_their_coding(tmp_path: Path, mask: Any, expected: np.ndarray) -> None:
    assert np.array_equal(labels(source(tmp_path, a=mask))["a"], expected > 0)


def test_floats_and_arrays_are_read(tmp_path: Path) -> None:
    folder = source(
        tmp_path, tif_a=BLOB.astype(np.float32), npy_b=BLOB, npy_c=BLOB.astype(bool), npy_d=BLOB[None] * 1.0
    )
    read = labels(folder)
    assert len(read) == 4
    assert all(np.array_equal(mask, BLOB > 0) for mask in read.values())


def test_smoothed_edges_belong_to_the_mask_from_half_on(tmp_path: Path) -> None:
    smooth = Image.fromarray(BLOB * 255).resize((32, 20), Image.BILINEAR).resize((64, 40), Image.BILINEAR)
    assert np.array_equal(labels(source(tmp_path, a=smooth))["a"], np.asarray(smooth) >= 128)


@pytest.mark.parametrize(
    ("mask", "option"),
    [
        (EDGE, "--mask-values 1 --ignore-value 255"),
        (np.select([TWO == 1, TWO == 2], [127, 255]).astype(np.uint8), "--mask-values nonzero"),
        (np.select([TWO == 1, TWO == 2], [128, 255]).astype(np.uint8), "--mask-values nonzero"),
        (voc(), "--mask-values nonzero"),
        (palette(BLOB, (255, 255, 255), (255, 0, 0)), "--mask-values 1"),
        (rgba((0, 0, 0), 255), "--mask-values nonzero"),
    ],
)
def test_an_ambiguous_set_is_refused_with_the_option_that_decides_it(tmp_path: Path, mask: Any, option: str) -> None:
    folder = source(tmp_path, a=mask, b=BLOB * 0)
    with pytest.raises(BadInput, match=option):
        prepare(folder, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    words = option.split()
    ignore = int(words[3]) if len(words) > 2 else None
    prepare(folder, tmp_path / "out", mask_values=words[1], ignore_value=ignore)


def test_0_and_1_saved_as_jpeg_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="JPEG"):
        prepare(source(tmp_path, jpg_a=BLOB * 4), tmp_path / "out")


def test_the_decision_is_one_for_the_whole_set(tmp_path: Path) -> None:
    """Each of these files has one meaning alone; together 255 may be the fracture, or ignored."""
    folder = source(tmp_path, a=BLOB, b=BLOB * 255)
    with pytest.raises(BadInput, match="values 0, 1, 255"):
        prepare(folder, tmp_path / "out")
    assert len(labels(folder, mask_values="nonzero")) == 2


def test_ignored_pixels_are_carried_through_and_survive_a_second_preparation(tmp_path: Path) -> None:
    only_ignored = np.where(EDGE == 255, 255, 0).astype(np.uint8)
    folder = source(tmp_path, a=EDGE, b=only_ignored, c=BLOB)
    prepared = prepare(folder, tmp_path / "out", ignore_value=255)
    for manifest in (prepared.manifest, prepare(tmp_path / "out", tmp_path / "again").manifest):
        read = {sample.id: sample for sample in read_manifest(manifest)}
        expected = np.where(EDGE == 255, IGNORED, BLOB.astype(int))
        assert np.array_equal(read_labels(read["a"].mask), expected)
        assert np.array_equal(read_labels(read["b"].mask), np.where(EDGE == 255, IGNORED, 0))
        assert [read[name].fractured for name in "abc"] == [True, False, True]
        with Image.open(read["a"].mask) as image:
            assert set(np.unique(np.asarray(image))) == {0, 128, 255}


def test_the_values_found_are_reported(tmp_path: Path) -> None:
    report = "\n".join(report_lines(prepare(source(tmp_path, a=TWO, b=BLOB), tmp_path / "out")))
    assert "values of 2 masks: 0, 1, 2; fracture: nonzero" in report


def test_an_inverted_mask_is_a_finding(tmp_path: Path) -> None:
    folder = source(tmp_path, a=(1 - BLOB) * 255, b=BLOB * 255)
    with pytest.raises(BadInput, match=r"(?s)a: most of the picture is fracture; is it inverted.*1 of 2 masks"):
        prepare(folder, tmp_path / "out")
    flaws = prepare(folder, tmp_path / "out", accept_losses=True).flaws
    assert [flaw.kind for flaw in flaws if flaw.lost] == ["inverted mask"]


def test_emptied_masks_stop_the_preparation_unless_losses_are_accepted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = source(tmp_path, a=BLOB * 2, b=BLOB, c=BLOB * 0)
    arguments = ["prepare", str(folder), "--output", str(tmp_path / "out"), "--mask-values", "1"]
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert "a: the mask has several values, but no pixel is fracture (fracture: 1)" in error
    assert "1 of 3 masks" in error
    assert not (tmp_path / "out/manifest.csv").exists()
    assert main([*arguments, "--accept-losses"]) == 0
    assert "mask emptied: 1" in capsys.readouterr().out


def test_masks_without_an_image_are_losses(tmp_path: Path) -> None:
    folder = source(tmp_path, a=BLOB, b=BLOB)
    (folder / "images/b.png").unlink()
    with pytest.raises(BadInput, match=r"(?s)b\.png.*1 of 2 masks"):
        prepare(folder, tmp_path / "out")


@pytest.mark.parametrize("text", ["", "half", "1,", "-1", "1.5"])
def test_bad_mask_values_are_refused_on_the_command_line(text: str, tmp_path: Path) -> None:
    with pytest.raises(SystemExit):
        main(["prepare", str(tmp_path), "--output", str(tmp_path / "out"), f"--mask-values={text}"])


@pytest.mark.parametrize("values", [np.zeros((2, 3, 4)), np.array("text"), np.array([{}], object)])
def test_an_array_that_is_no_mask_is_refused(tmp_path: Path, values: np.ndarray) -> None:
    folder = source(tmp_path, a=BLOB)
    save_image(folder / "images/b.png", 7)
    np.save(folder / "masks/b.npy", values, allow_pickle=True)
    with pytest.raises(BadInput, match=r"b\.npy"):
        prepare(folder, tmp_path / "out")


@pytest.mark.parametrize(
    "images_and_masks",
    [
        ("s/images", "s/masks"),
        ("s/imagesTr", "s/labelsTr"),
        ("s/img_dir/train", "s/ann_dir/train"),
        ("s/JPEGImages", "s/SegmentationClass"),
        ("s/pictures", "s/drawn"),
    ],
)
@pytest.mark.parametrize("has_palette", [False, True])
def test_mask_values_count_in_every_source_of_mask_files(
    tmp_path: Path, images_and_masks: tuple[str, str], has_palette: bool
) -> None:
    """Classes 1 and 2 and an ignored border of 255, as VOC and mmsegmentation have them; the last source is a CSV."""
    images, masks = (tmp_path / folder for folder in images_and_masks)
    masks.mkdir(parents=True)
    values = np.where(EDGE == 255, 255, TWO)
    mask = palette(values, (0, 0, 0), (128, 0, 0), (0, 128, 0)) if has_palette else Image.fromarray(values)
    for number, name in enumerate("ab"):
        save_image(images / f"{name}_0000.png", number)
        mask.save(masks / (f"{name}.png" if "Tr" in masks.name else f"{name}_0000.png"))
    if masks.name == "drawn":
        row = "{0},pictures/{0}_0000.png,drawn/{0}_0000.png,1\n"
        (tmp_path / "s/manifest.csv").write_text("id,image,mask,fractured\n" + row.format("a") + row.format("b"))
    with pytest.raises(BadInput, match="values 0, 1, 2, 255, which have more than one meaning"):
        prepare(tmp_path / "s", tmp_path / "out")
    for label in labels(tmp_path / "s", mask_values="1", ignore_value=255).values():
        assert np.array_equal(label, np.where(EDGE == 255, IGNORED, BLOB.astype(int)))


def test_a_palette_of_many_classes_is_read_by_its_numbers(tmp_path: Path) -> None:
    """VOC's colours of the classes 1 to 10."""
    classes = np.zeros((40, 64), np.uint8)
    classes[:, :30] = np.arange(30) // 3 + 1
    colours = [(128 * (n & 1), 64 * (n & 2), 32 * (n & 4)) for n in range(11)]
    assert np.array_equal(labels(source(tmp_path, a=palette(classes, *colours)), mask_values="7")["a"], classes == 7)


def test_the_ignore_label_of_nnunet_is_read_from_its_dataset_json(tmp_path: Path) -> None:
    save_image(tmp_path / "s/imagesTr/a_0000.png", 1)
    (tmp_path / "s/labelsTr").mkdir()
    Image.fromarray(TWO).save(tmp_path / "s/labelsTr/a.png")
    (tmp_path / "s/dataset.json").write_text('{"labels": {"background": 0, "fracture": 1, "ignore": 2}}')
    assert np.array_equal(labels(tmp_path / "s")["a"], np.where(TWO == 2, IGNORED, BLOB.astype(int)))


def test_options_for_mask_files_are_refused_where_there_are_no_mask_files(tmp_path: Path) -> None:
    save_image(tmp_path / "s/normal/a.png", 1)
    with pytest.raises(BadInput, match="--mask-values and --ignore-value: expected mask files"):
        prepare(tmp_path / "s", tmp_path / "out", ignore_value=255)


def test_an_image_of_another_value_is_a_negative_after_its_loss_was_accepted(tmp_path: Path) -> None:
    """A named value is the user's decision. Where auto finds nothing in a mask, its image may be positive."""
    faint = np.zeros((40, 64), np.uint8)
    faint[10, 10:14] = 40, 90, 100, 50
    smooth = Image.fromarray(BLOB * 255).resize((32, 20), Image.BILINEAR).resize((64, 40), Image.BILINEAR)
    named = prepare(source(tmp_path / "1", a=BLOB * 2, b=BLOB), tmp_path / "named", mask_values="1", accept_losses=True)
    auto = prepare(source(tmp_path / "2", a=faint, b=smooth), tmp_path / "auto", accept_losses=True)
    assert [(s.id, s.fractured) for s in read_manifest(named.manifest)] == [("a", False), ("b", True)]
    assert [(s.id, s.fractured) for s in read_manifest(auto.manifest)] == [("b", True)]
    assert "left out" in {flaw.kind for flaw in auto.flaws}


def test_16_bit_white_is_the_value_255(tmp_path: Path) -> None:
    wide = source(tmp_path, a=BLOB.astype(np.uint16) * 65535, b=BLOB * 255)
    for number in ("255", "65535"):
        assert len(labels(wide, mask_values=number)) == 2
