"""Radiographs of several sizes, and stand-ins for nnU-Net's commands, which say and write what nnunetv2 2.8.1 does."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine.data.manifest import Sample, write_manifest

STAND_IN = Path(__file__).with_name("stand_in.py")
COMMANDS = ("nnUNetv2_plan_and_preprocess", "nnUNetv2_train", "nnUNetv2_predict")

PLACES = (
    ("IMG0000001", "train", 90, 60, True),
    ("ana/wrist 1", "train", 60, 120, False),
    ("mine_seg", "train", 200, 100, False),
    ("p4", "train", 64, 64, False),
    ("v1", "val", 80, 40, True),
    ("v2", "val", 50, 50, False),
    ("v3", "val", 33, 97, False),
    ("t1", "test", 100, 75, True),
    ("t2", "test", 64, 128, False),
    ("t3", "test", 40, 90, True),
)
"""(id, split, rows, columns, fractured)."""


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """Ten radiographs; the masks of the positives are a block of an eighth of each side, brighter than all else."""
    folder = tmp_path / "data"
    folder.mkdir()
    samples = []
    for place, (identity, split, rows, columns, fractured) in enumerate(PLACES):
        image = np.full((rows, columns), 60 + place, np.uint8)
        mask = np.zeros((rows, columns), np.bool_)
        if fractured:
            mask[rows // 4 : rows // 4 + rows // 8 * 2, columns // 4 : columns // 4 + columns // 8 * 2] = True
            image[mask] = 250
        image_path, mask_path = folder / f"{place}.png", folder / f"{place}_mask.png"
        Image.fromarray(image).save(image_path)
        if fractured:
            Image.fromarray(mask.astype(np.uint8) * 255).save(mask_path)
        samples.append(Sample(identity, image_path, mask_path if fractured else None, fractured, split))
    write_manifest(folder / "manifest.csv", samples)
    return folder / "manifest.csv"


@pytest.fixture
def config(tmp_path: Path, manifest: Path) -> Path:
    """A config for these images."""
    path = tmp_path / "nn.yaml"
    path.write_text(
        f"kind: nnunet\ndevice: cpu\ndata: {{manifest: {manifest}, image_size: 64, negatives_per_positive: 2}}\n"
        "training: {epochs: 5, processes: 1}\n"
    )
    return path


@pytest.fixture
def stand_ins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the stand-ins, found before nnU-Net where that is installed; what they were told stands in it."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in COMMANDS:
        command = folder / name
        command.write_text(f"#!{sys.executable}\n{STAND_IN.read_text()}")
        command.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(folder / "python"))
    return folder
