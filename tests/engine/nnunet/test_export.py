"""The raw dataset folder that nnU-Net is given."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from engine.cli import main
from engine.contract.errors import BadInput
from engine.contract.load import load_nnunet_config
from engine.data.images import read_labels
from engine.data.manifest import Sample, fingerprint, read_manifest, write_manifest
from engine.data.splits import draw_folds
from engine.nnunet.export import Export, case_name, export, exported_samples, read_export
from engine.prepare.prepare import prepare


@pytest.fixture
def exported(config: Path, tmp_path: Path) -> Export:
    return export(load_nnunet_config(config), tmp_path / "raw" / "Dataset001_xray")


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        assert image.mode == "L"
        return np.asarray(image)


def test_every_image_is_grey_with_the_same_longer_side_and_its_own_shape(exported: Export, manifest: Path) -> None:
    for sample in read_manifest(manifest):
        if sample.id not in exported.cases:
            continue
        found = pixels(exported.image(sample))
        rows, columns = pixels(sample.image).shape
        assert max(found.shape) == 64
        assert found.shape[0] / found.shape[1] == pytest.approx(rows / columns, rel=0.02)


def test_labels_are_0_and_1_and_lie_where_the_mask_is(exported: Export) -> None:
    label = pixels(exported.folder / "labelsTr" / "IMG0000001.png")
    image = pixels(exported.folder / "imagesTr" / "IMG0000001_0000.png")
    assert set(np.unique(label)) == {0, 1}
    inside, outside = image[label == 1], image[label == 0]
    assert np.median(inside) == 250
    assert np.median(outside) == 60
    empty = pixels(exported.folder / "labelsTr" / "v2.png")
    assert not empty.any()


def test_ignored_pixels_are_nnunets_ignore_label_and_are_read_back(
    config: Path, manifest: Path, tmp_path: Path
) -> None:
    """The image has 90 x 60 pixels and becomes 64 x 43."""
    path = manifest.with_name("0_mask.png")
    mask = np.array(Image.open(path))
    mask[60:] = 128
    Image.fromarray(mask).save(path)
    folder = export(load_nnunet_config(config), tmp_path / "raw" / "Dataset001_xray").folder
    assert json.loads((folder / "dataset.json").read_text())["labels"] == {"background": 0, "fracture": 1, "ignore": 2}
    label = pixels(folder / "labelsTr" / "IMG0000001.png")
    assert (label[43:] == 2).all()
    assert set(np.unique(label[:42])) == {0, 1}
    samples = {sample.id: sample for sample in read_manifest(prepare(folder, tmp_path / "again").manifest)}
    assert np.array_equal(read_labels(samples["IMG0000001"].mask), np.where(label == 2, -1, label.astype(int)))


def test_the_folder_holds_what_nnunet_reads(exported: Export) -> None:
    dataset = json.loads((exported.folder / "dataset.json").read_text())
    training = sorted(path.name for path in (exported.folder / "imagesTr").iterdir())
    labels = sorted(path.name for path in (exported.folder / "labelsTr").iterdir())
    assert dataset["numTraining"] == len(training) == 6
    assert dataset["labels"] == {"background": 0, "fracture": 1}
    assert dataset["file_ending"] == ".png"
    assert [name.replace("_0000.png", ".png") for name in training] == labels
    assert sorted(path.name for path in (exported.folder / "imagesTs").iterdir()) == [
        "t1_0000.png",
        "t2_0000.png",
        "t3_0000.png",
    ]


def test_our_split_is_its_only_fold_with_validation_whole(exported: Export) -> None:
    [fold] = json.loads((exported.folder / "splits_final.json").read_text())
    assert fold["val"] == ["v1", "v2", "v3"]
    assert len(fold["train"]) == 3  # one positive, and two negatives for it
    names = {path.name.removesuffix(".png") for path in (exported.folder / "labelsTr").iterdir()}
    assert names == {*fold["train"], *fold["val"]}


def test_with_a_fold_all_of_ours_are_its_folds_in_order_and_the_test_split_is_as_published(
    config: Path, manifest: Path, tmp_path: Path
) -> None:
    (manifest.parent / "3.png").write_bytes((manifest.parent / "5.png").read_bytes())  # p4 of train is v2 of val
    samples = read_manifest(manifest)
    folds = draw_folds(samples, 3)
    exported = export(load_nnunet_config(config, ["data.fold=1", "data.folds=3"]), tmp_path / "raw" / "Dataset001_xray")
    found = json.loads((exported.folder / "splits_final.json").read_text())
    assert len(found) == 3
    for fold, ours in zip(found, folds, strict=True):
        assert fold["val"] == [exported.cases[sample.id] for sample in ours if sample.split == "val"]
        train = [sample for sample in ours if exported.cases[sample.id] in fold["train"]]
        assert {sample.split for sample in train} == {"train"}
        assert sum(s.fractured for s in train) == sum(s.fractured for s in ours if s.split == "train")
        negatives = sum(not s.fractured for s in ours if s.split == "train")
        assert sum(not s.fractured for s in train) == min(negatives, 2 * sum(s.fractured for s in train))
    labels = {path.name.removesuffix(".png") for path in (exported.folder / "labelsTr").iterdir()}
    tests = {path.name.removesuffix("_0000.png") for path in (exported.folder / "imagesTs").iterdir()}
    assert labels == {exported.cases[sample.id] for sample in samples if sample.split != "test"}
    assert tests == {exported.cases[sample.id] for sample in samples if sample.split == "test"}
    assert json.loads((exported.folder / "dataset.json").read_text())["numTraining"] == len(labels)
    validated = [sample for sample in folds[1] if sample.split == "val"]
    assert exported.fingerprints["val"] == fingerprint(validated)


def test_a_fold_that_is_not_there_or_cannot_be_trained_is_refused(config: Path, manifest: Path) -> None:
    with pytest.raises(BadInput, match=r"fold: expected 0 to 2, got 3"):
        load_nnunet_config(config, ["data.fold=3", "data.folds=3"])
    write_manifest(manifest, [sample for sample in read_manifest(manifest) if sample.id != "v1"])
    with pytest.raises(BadInput, match=r"fold \d: no positive image in split train"):
        export(load_nnunet_config(config, ["data.fold=0"]), manifest.parent / "Dataset001_xray")


def test_cases_lead_back_to_ids(exported: Export) -> None:
    again = read_export(exported.folder)
    assert again == exported
    assert len(set(again.cases.values())) == len(again.cases)


def test_an_id_is_kept_where_it_can_be() -> None:
    assert case_name("IMG0000019") == "IMG0000019"
    for identity in ("ana/wrist 1", "mine_seg", "-d", "a.b", "ü", "x" * 300):
        assert case_name(identity) != identity


@given(st.text(min_size=1, max_size=150), st.text(min_size=1, max_size=150))
def test_a_case_is_a_safe_file_name_and_unique(one: str, other: str) -> None:
    name = case_name(one)
    assert re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,119}", name)
    assert not name.endswith("_seg")  # or its image would be taken for another case's mask
    assert one == other or name != case_name(other)


def samples(positives: int, negatives: int) -> list[Sample]:
    found = [Sample(f"p{n}", Path("i"), Path("m"), True, "train") for n in range(positives)]
    found += [Sample(f"n{n}", Path("i"), None, False, "train") for n in range(negatives)]
    return [*found, Sample("v", Path("i"), None, False, "val"), Sample("t", Path("i"), None, False, "test")]


@pytest.mark.parametrize(("ratio", "kept"), [(None, 50), (0.0, 0), (0.5, 5), (2.0, 20), (100.0, 50)])
def test_negatives_are_drawn_for_each_positive_of_training_alone(ratio: float | None, kept: int) -> None:
    found = exported_samples(samples(10, 50), ratio, 42)
    assert sum(not sample.fractured for sample in found if sample.split == "train") == kept
    assert sum(sample.fractured for sample in found) == 10
    assert [sample.id for sample in found if sample.split != "train"] == ["v", "t"]


def test_the_seed_says_which_negatives() -> None:
    drawn = [exported_samples(samples(10, 50), 1.0, seed) for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]


def test_a_mask_of_another_size_leaves_the_former_export_as_it_was(
    exported: Export, config: Path, manifest: Path
) -> None:
    before = sorted(path.read_bytes() for path in exported.folder.rglob("*.*"))
    Image.fromarray(np.zeros((5, 5), np.uint8)).save(manifest.parent / "0_mask.png")
    with pytest.raises(BadInput, match=r"0_mask\.png: expected 60 x 90 pixels like its image IMG0000001, got 5 x 5"):
        export(load_nnunet_config(config), exported.folder)
    assert sorted(path.read_bytes() for path in exported.folder.rglob("*.*")) == before
    assert list(exported.folder.parent.iterdir()) == [exported.folder]


def test_a_folder_that_is_no_export_is_never_replaced(config: Path, tmp_path: Path) -> None:
    precious = tmp_path / "raw" / "Dataset001_xray" / "precious.txt"
    precious.parent.mkdir(parents=True)
    precious.write_text("mine")
    assert main(["nnunet", "export", "--config", str(config), "--output", str(tmp_path / "raw")]) == 2
    assert precious.read_text() == "mine"


def test_the_command_exports_under_a_name_of_ones_own(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["nnunet", "export", "--config", str(config), "--output", str(tmp_path / "raw")]
    assert main([*given, "--dataset", "Dataset501_wrists", "--set", "data.image_size=32"]) == 0
    assert max(pixels(tmp_path / "raw/Dataset501_wrists/imagesTr/v1_0000.png").shape) == 32
    assert "9 images" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main([*given, "--dataset", "../elsewhere"])


@pytest.mark.parametrize(
    ("missing", "said"), [("val", "no image in split val"), ("positive", "no positive image in split train")]
)
def test_what_nnunet_cannot_train_on_is_refused(missing: str, said: str, config: Path, manifest: Path) -> None:
    kept = [s for s in read_manifest(manifest) if s.split != missing and (missing == "val" or not s.fractured)]
    write_manifest(manifest, kept)
    with pytest.raises(BadInput, match=said):
        export(load_nnunet_config(config), manifest.parent / "Dataset001_xray")


def test_a_damaged_record_is_said_in_one_line(exported: Export) -> None:
    (exported.folder / "export.json").write_text('{"format": "xray-nnunet-export/1", "cases": 3')
    with pytest.raises(BadInput, match=r"export\.json: cannot be read as an export"):
        read_export(exported.folder)
    shutil.rmtree(exported.folder)
    with pytest.raises(BadInput, match="no such file; train the run first"):
        read_export(exported.folder)
