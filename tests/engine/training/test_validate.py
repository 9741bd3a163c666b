"""Validation during training measures what an evaluation measures."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine.cli import main
from engine.data.manifest import Sample, read_manifest, write_manifest

from .conftest import Train, epochs


@pytest.fixture
def oblong(synthetic: Path, tmp_path: Path) -> Path:
    """The synthetic set's manifest, of the left half of each image and mask."""
    halves = []
    for sample in read_manifest(synthetic):
        image, mask = tmp_path / f"{sample.id}.png", tmp_path / f"{sample.id}_mask.png"
        for source, half in ((sample.image, image), (sample.mask, mask)):
            if source is not None:
                pixels = np.asarray(Image.open(source))
                Image.fromarray(pixels[:, : pixels.shape[1] // 2]).save(half)
        fractured = sample.mask is not None and bool(np.asarray(Image.open(mask)).any())
        halves.append(Sample(sample.id, image, mask if fractured else None, fractured, sample.split))
    write_manifest(tmp_path / "halves.csv", halves)
    return tmp_path / "halves.csv"


def test_what_a_network_says_of_padding_counts_in_neither(train: Train, oblong: Path) -> None:
    given = (f"data.manifest={oblong}", "data.keep_aspect=true", "training.epochs=1", "loss.presence=0")
    run = train("run", *given, "model.classification_head=", "training.selection_metric=dice_pos")
    (epoch,) = epochs(run)
    threshold = epoch["val"]["threshold"]
    choices = ["--tta", "none", "--threshold", str(threshold), "--presence", "max", "--bootstrap", "0"]
    assert main(["evaluate", "--run", str(run), *choices]) == 0
    (path,) = run.glob("test_metrics*.json")
    evaluated = json.loads(path.read_text())["validation_input"]
    for name in ("dice_pos", "precision_pos", "recall_pos", "fp_area_neg", "roc_auc_presence"):
        assert epoch["val"][name] == pytest.approx(evaluated[name], abs=1e-4), name
