"""Whether a recipe can learn one batch by heart."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from engine.cli import main

from ..conftest import TINY, arguments


def sanity(project: Path, synthetic: Path, *changes: str) -> int:
    config = str(project / "configs" / "pretrained_dual_head.yaml")
    fast = ("training.precision=fp32", "data.image_size=32")
    given = arguments(f"data.manifest={synthetic}", *TINY, *fast, *changes)
    return main(["train", "--sanity", "--config", config, *given])


def test_a_recipe_that_learns_passes_and_writes_no_run(
    project: Path, synthetic: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert sanity(project, synthetic, "training.lr=3e-3", "training.encoder_lr=", "training.ema=0.9") == 0
    said = capsys.readouterr().out
    for name in ("loss", "dice_pos"):
        found = re.search(rf"^{name} (\S+) -> (\S+): better$", said, re.MULTILINE)
        assert found is not None, said
        assert (float(found[2]) < float(found[1])) == (name == "loss")
    assert said.endswith("sanity: passed\n")
    assert list(tmp_path.iterdir()) == []


def test_one_that_does_not_learn_fails_with_what_got_no_better(
    project: Path, synthetic: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    still = ("training.lr=1e-12", "training.encoder_lr=1e-12", "training.freeze_batch_norm=true")
    assert sanity(project, synthetic, *still, "model.classification_head.dropout=0") == 1
    said = capsys.readouterr()
    assert re.search(r"^dice_pos (\S+) -> \1: not better$", said.out, re.MULTILINE)
    assert "dice_pos of a single batch did not improve in 48 steps; check the masks" in said.err


def test_it_wants_a_config_and_nothing_to_resume(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--sanity"]) == 2
    assert "--sanity: give --config FILE, or --run FOLDER" in capsys.readouterr().err
