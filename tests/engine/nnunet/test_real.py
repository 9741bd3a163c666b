"""The real nnU-Net, end to end on the CPU: 24 tiny radiographs, its one-epoch trainer of 250 steps, our score.

`make test-long` installs it first: where it is missing the test fails, and is not skipped.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from engine.cli import main
from engine.contract.events import parse_events
from engine.data.synthetic import make_synthetic


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
@pytest.mark.parametrize(("target", "installs"), [("test", False), ("test-long", True)])
def test_only_the_long_tests_install_nnunet(target: str, installs: bool, project: Path) -> None:
    planned = ["make", "--dry-run", "--what-if=pyproject.toml", "-C", str(project), target]
    said = subprocess.run(planned, capture_output=True, text=True, check=True).stdout
    assert ("-e '.[nnunet]'" in said.partition("pytest")[0]) == installs


@pytest.mark.long
@pytest.mark.skipif(not os.environ.get("XRAY_TUI_LONG"), reason="nnU-Net trains for minutes: make test-long")
@pytest.mark.usefixtures("engine_extra")
def test_nnunet_trains_predicts_and_is_scored(project: Path, runs: Path, tmp_path: Path) -> None:
    manifest = make_synthetic(tmp_path / "data", 24, 64, 7)
    run = runs / "nnunet_fold0"
    config = ["--config", str(project / "configs" / "nnunet_fold0.yaml"), "--set", f"data.manifest={manifest}"]
    for pair in ("data.fold=1", "data.folds=3", "data.image_size=32", "training.epochs=1", "training.processes=1"):
        config += ["--set", pair]
    config += ["--set", "device=cpu"]
    assert main(["train", *config, "--run", str(run)]) == 0
    events = {event["event"]: event for event in parse_events((run / "events.jsonl").read_text())}
    assert list(events) == ["start", "step", "epoch", "end"]
    assert events["start"]["epochs"] == 1
    assert events["epoch"]["lr"] == 0.01
    assert -1 <= events["epoch"]["loss"] <= 2
    assert 0 <= events["epoch"]["val"]["pseudo_dice"] <= 1
    assert events["epoch"]["best"] is True
    assert events["end"]["state"] == "done"

    assert main(["nnunet", "score", "--run", str(run), "--bootstrap", "10"]) == 0
    found = json.loads((run / "test_metrics_tta_mirror_tuned.json").read_text())
    assert found["num_samples"] == 4
    assert found["validation"]["num_samples"] == 7  # fold 1 of the 20 others
    assert 0 < found["threshold"] < 1
    assert found["dice_pos"] >= 0
    assert main(["nnunet", "score", "--run", str(run), "--bootstrap", "0", "--masks", "--tta", "none"]) == 0
    masks = json.loads((run / "test_metrics_thr050_area.json").read_text())
    assert masks["selection"]["presence_source"] == "pred_area"
