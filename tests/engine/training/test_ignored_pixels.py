"""Ignored pixels from the training to the blend: what a network says in them changes no figure."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFilter
from PIL.PngImagePlugin import PngInfo

from engine.cli import main
from engine.data.images import IGNORED_COMMENT
from engine.data.manifest import Sample, read_manifest, write_manifest

from .conftest import MakeLearner, Train, epochs

CORNER = (slice(24, None), slice(24, None))
"""The ignored part of each image of 64 x 64 pixels, apart from its fracture."""
PLAIN = ("model.classification_head=", "loss.presence=0", "training.selection_metric=dice_pos", "training.epochs=1")


@pytest.fixture
def ignoring(synthetic: Path, tmp_path: Path) -> Path:
    """The synthetic set's manifest, with an ignored corner in every mask; negatives have masks of 0 and 128."""
    comment = PngInfo()
    comment.add_text("Comment", IGNORED_COMMENT)
    samples = []
    for sample in read_manifest(synthetic):
        grey = np.zeros((64, 64), np.uint8) if sample.mask is None else np.array(Image.open(sample.mask))
        grey[CORNER][grey[CORNER] == 0] = 128
        mask = tmp_path / f"{sample.id}_mask.png"
        Image.fromarray(grey).save(mask, pnginfo=comment)
        samples.append(Sample(sample.id, sample.image, mask, sample.fractured, sample.split))
    write_manifest(tmp_path / "ignoring.csv", samples)
    return tmp_path / "ignoring.csv"


def figures(run: Path) -> tuple[dict[str, Any], list[dict[str, str]]]:
    """(the artifact without its provenance, the rows of its per-image table)."""
    (path,) = run.glob("test_metrics*.json")
    artifact = json.loads(path.read_text())
    with (run / artifact["per_image"]).open() as file:
        return {key: value for key, value in artifact.items() if key != "provenance"}, list(csv.DictReader(file))


def fill_ignored(run: Path, manifest: Path, level: int) -> None:
    """Set the cached predictions, 32 x 32, inside the ignored areas; those at their edge reach into counted pixels."""
    inside = {}
    for sample in read_manifest(manifest):
        blocks = (np.asarray(Image.open(sample.mask)) == 128).reshape(32, 2, 32, 2).all((1, 3))
        inside[sample.id] = np.asarray(Image.fromarray(blocks.astype(np.uint8)).filter(ImageFilter.MinFilter(3))) > 0
    for cache in (run / "predictions").iterdir():
        levels = np.load(cache / "probabilities.npy")
        for position, identity in enumerate(json.loads((cache / "index.json").read_text())["ids"]):
            levels[position][inside[identity]] = level
        np.save(cache / "probabilities.npy", levels)


@pytest.mark.parametrize("presence", ["max", "mean", "topk_mean", "pred_area"])
def test_predictions_in_ignored_pixels_change_no_figure(
    train: Train, ignoring: Path, presence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run = train("run", f"data.manifest={ignoring}", *PLAIN)
    command = ["evaluate", "--run", str(run), "--tta", "none", "--presence", presence, "--bootstrap", "20"]
    found = []
    for level in (0, 65535):
        assert main(command) == 0
        fill_ignored(run, ignoring, level)
        assert main(command) == 0
        found.append(figures(run))
    assert found[0] == found[1]
    other = run.with_name("other")
    shutil.copytree(run, other)
    for path in other.glob("test_metrics*"):
        path.unlink()
    blends = []
    members = ["--members", str(run), str(other), "--run", str(run.with_name("both")), "--tta", "none"]
    for level in (0, 65535):
        for member in (run, other):
            fill_ignored(member, ignoring, level)
        assert main(["blend", *members, "--set", "bootstrap=0", "--set", f"presence_sources=[{presence}]"]) == 0
        blends.append(figures(run.with_name("both")))
    assert blends[0] == blends[1]


def test_a_validation_counts_as_an_evaluation_does(train: Train, ignoring: Path) -> None:
    run = train("run", f"data.manifest={ignoring}", *PLAIN)
    (epoch,) = epochs(run)
    choices = ["--tta", "none", "--threshold", str(epoch["val"]["threshold"]), "--presence", "max", "--bootstrap", "0"]
    assert main(["evaluate", "--run", str(run), *choices]) == 0
    evaluated = figures(run)[0]["validation_input"]
    for name in ("dice_pos", "precision_pos", "recall_pos", "fp_area_neg", "roc_auc_presence"):
        assert epoch["val"][name] == pytest.approx(evaluated[name], abs=1e-4), name


def test_a_validation_gives_the_same_figures_whatever_is_predicted_in_them(
    make_learner: MakeLearner, ignoring: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    from engine.data.inputs import load_inputs
    from engine.models.network import Prediction
    from engine.training import validate

    samples = [sample for sample in read_manifest(ignoring) if sample.split == "val"]
    inputs = load_inputs(samples, 64, False, ignoring, "val")
    found = []
    for inside in (-9.0, 9.0):
        logits = torch.randn((len(samples), 1, 64, 64), generator=torch.Generator().manual_seed(1))
        logits[torch.from_numpy(np.array(inputs.masks))[:, None] < 0] = inside
        batches = [(0, Prediction(logits, None))]
        monkeypatch.setattr(validate, "predict_batches", lambda *_, batches=batches: batches)
        found.append(validate.validate(make_learner(batch_size=len(samples)), inputs, 0))
    assert found[0] == found[1]
    assert {"loss", "dice_pos", "fp_area_neg", "roc_auc_presence"} <= found[0].keys()


def test_patches_are_drawn_at_the_fracture_and_one_of_ignored_pixels_is_a_negative(ignoring: Path) -> None:
    from engine.contract.data import PatchConfig
    from engine.data.batches import TrainingSamples
    from engine.data.inputs import load_inputs
    from engine.data.patches import POSITIONS

    samples = [sample for sample in read_manifest(ignoring) if sample.split == "train"]
    inputs = load_inputs(samples, 64, False, ignoring, "train", with_positions=True)
    assert inputs.positions is not None
    for sample, mask, positions in zip(samples, inputs.masks, inputs.positions, strict=True):
        rows, columns = positions[:POSITIONS].T
        assert (mask[rows, columns] == 1).all() if sample.fractured else (positions[:POSITIONS] == -1).all()
    batch = TrainingSamples(inputs, PatchConfig(size=32, on_positive=0.0))[[(n, n) for n in range(len(samples))]]
    shows_fracture = (batch.mask == 1).flatten(1).any(1)
    assert (batch.mask[~shows_fracture] == -1).any()
    assert batch.fractured.bool().tolist() == shows_fracture.tolist()
