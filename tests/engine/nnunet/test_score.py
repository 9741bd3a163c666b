"""Scores of predictions that are known: a stand-in for nnU-Net predicts 0.4 where the exported image is bright."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.cli import main
from engine.data.manifest import read_manifest
from engine.data.splits import draw_folds

pytestmark = pytest.mark.usefixtures("engine_extra")


@pytest.fixture
def run(config: Path, runs: Path, stand_ins: Path) -> Path:
    """A run that the stand-ins trained."""
    assert main(["train", "--config", str(config), "--run", str(runs / "nn")]) == 0
    return runs / "nn"


@pytest.fixture
def score(run: Path) -> Callable[..., dict[str, Any]]:
    """Scores it; the artifact that is new."""

    def scored(*given: str) -> dict[str, Any]:
        before = set(run.glob("test_metrics*.json"))
        assert main(["nnunet", "score", "--run", str(run), "--bootstrap", "20", *given]) == 0
        [path] = set(run.glob("test_metrics*.json")) - before
        found: dict[str, Any] = json.loads(path.read_text())
        return {**found, "path": path}

    return scored


def predictions_told(stand_ins: Path) -> list[list[str]]:
    lines = [json.loads(line) for line in (stand_ins / "told.jsonl").read_text().splitlines()]
    return [line["arguments"] for line in lines if line["command"] == "nnUNetv2_predict"]


def test_the_threshold_is_tuned_on_validation_and_the_artifact_says_so(score: Callable[..., dict[str, Any]]) -> None:
    found = score()
    assert found["path"].name == "test_metrics_tta_mirror_tuned.json"
    assert found["schema"] == "xray-test-metrics/1"
    assert found["selection"]["look"] == {"run": 1, "data": 1}
    assert found["threshold"] <= 0.4  # nnU-Net's own 0.5 would find nothing
    assert found["selection"]["threshold_source"] == found["selection"]["selected_on"] == "val"
    assert found["dice_pos"] > 0.85
    assert found["input"]["dice_pos"] == pytest.approx(1, abs=0.1)
    assert found["roc_auc_presence"] == 1
    assert found["num_samples"] == 3
    assert found["num_positive"] == 2
    assert found["fp_area_neg"] == 0
    assert set(found) >= {"validation", "validation_input", "all_positive", "intervals", "data", "per_image"}
    [checkpoint] = found["provenance"]["checkpoints"]
    assert checkpoint["path"].endswith("nnUNetTrainer_5epochs__nnUNetPlans__2d/fold_0/checkpoint_best.pth")
    assert found["provenance"]["trainer"] == "nnUNetTrainer_5epochs"


def test_the_figures_follow_from_the_per_image_table(score: Callable[..., dict[str, Any]]) -> None:
    found = score()
    with (found["path"].parent / found["per_image"]).open() as file:
        rows = list(csv.DictReader(file))
    assert [row["id"] for row in rows] == ["t1", "t2", "t3"]
    dice = [float(row["dice"]) for row in rows if row["dice"]]
    assert found["dice_pos"] == pytest.approx(np.mean(dice), abs=1e-6)
    tp, fn = (sum(int(row[key]) for row in rows) for key in ("tp", "fn"))
    assert found["recall_pos"] == pytest.approx(tp / (tp + fn))
    assert tp + fn == 24 * 18 + 10 * 22  # the masks at their own size


def test_nnunets_own_threshold_can_be_asked_for(score: Callable[..., dict[str, Any]]) -> None:
    found = score("--threshold", "0.5", "--presence", "max")
    assert found["path"].name == "test_metrics_tta_mirror_thr050_max.json"
    assert found["selection"]["threshold_source"] == "fixed"
    assert found["dice_pos"] < 1e-6
    assert found["roc_auc_presence"] == 1


def test_masks_are_scored_by_their_area_and_nothing_is_tuned(
    score: Callable[..., dict[str, Any]], stand_ins: Path
) -> None:
    found = score("--masks")
    assert found["selection"]["threshold_source"] == "fixed"
    assert found["threshold"] == 0.5
    assert found["selection"]["presence_source"] == "pred_area"
    assert found["dice_pos"] > 0.85
    assert found["roc_auc_presence"] == 1
    assert all("--save_probabilities" not in arguments for arguments in predictions_told(stand_ins))


def test_predictions_are_kept_and_made_once(run: Path, score: Callable[..., dict[str, Any]], stand_ins: Path) -> None:
    found = score("--tta", "none")
    assert found["provenance"]["evaluation"]["device"] == "cpu, float32, nnU-Net"
    told = predictions_told(stand_ins)
    assert len(told) == 2
    assert all("--disable_tta" in arguments and "--save_probabilities" in arguments for arguments in told)
    score("--tta", "none", "--threshold", "0.3")
    assert len(predictions_told(stand_ins)) == 2
    kept = sorted(path.name for path in (run / "predictions" / "test_none").iterdir())
    assert kept == ["index.json", "probabilities.npy"]
    levels = np.load(run / "predictions" / "test_none" / "probabilities.npy")
    assert levels.shape == (3, 64, 64)
    assert levels[0, :, 48:].max() == 0  # t1 is 100 x 75: 64 x 48, and padding


def test_another_checkpoint_is_predicted_anew(score: Callable[..., dict[str, Any]], stand_ins: Path) -> None:
    score()
    found = score("--checkpoint", "final")
    assert found["path"].name.startswith("test_metrics_tta_mirror_tuned_")  # another selection, another name
    assert len(predictions_told(stand_ins)) == 4
    assert "checkpoint_final.pth" in predictions_told(stand_ins)[-1]


def test_evaluate_and_score_take_the_same_checkpoint(run: Path, stand_ins: Path) -> None:
    assert main(["nnunet", "score", "--run", str(run), "--bootstrap", "0"]) == 0
    assert main(["evaluate", "--run", str(run), "--tta", "hv", "--bootstrap", "0"]) == 0
    assert len(predictions_told(stand_ins)) == 2, "of val and test, once"
    assert len(list(run.glob("test_metrics*.json"))) == 1, "the same evaluation, made again"


def test_both_rows_of_the_board_are_had_from_one_run(score: Callable[..., dict[str, Any]], run: Path) -> None:
    assert score("--masks")["provenance"]["checkpoints"][0]["path"].endswith("checkpoint_best.pth")
    final = run.parent / "nn_final_test_metrics.json"
    given = ("--run", str(run), "--masks", "--checkpoint", "final", "--output", str(final))
    assert main(["nnunet", "score", *given, "--bootstrap", "0"]) == 0
    found = json.loads(final.read_text())
    checkpoint = final.parent / found["provenance"]["checkpoints"][0]["path"]
    assert checkpoint.read_bytes() == b"final"
    assert (final.parent / found["per_image"]).is_file()
    assert len(list(run.glob("test_metrics*.json"))) == 1
    assert main(["nnunet", "score", *given, "--output", str(run)]) == 2


def test_a_fold_is_scored_on_its_validation_and_on_the_untouched_test_split(
    config: Path, manifest: Path, runs: Path, stand_ins: Path
) -> None:
    given = ["--config", str(config), "--set", "data.fold=1", "--set", "data.folds=3"]
    assert main(["train", *given, "--run", str(runs / "nn")]) == 0
    assert main(["nnunet", "score", "--run", str(runs / "nn"), "--bootstrap", "0"]) == 0
    [path] = (runs / "nn").glob("test_metrics*.json")
    found = json.loads(path.read_text())
    samples = draw_folds(read_manifest(manifest), 3)[1]
    assert found["validation"]["num_samples"] == sum(sample.split == "val" for sample in samples)
    assert found["num_samples"] == 3
    assert found["provenance"]["checkpoints"][0]["path"].endswith("fold_1/checkpoint_best.pth")
    for arguments in predictions_told(stand_ins):
        assert arguments[arguments.index("-f") + 1] == "1"


def test_evaluate_scores_a_run_of_nnunet_too(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, which in (("best.pt", "best"), ("last.pt", "final")):
        assert (run / "checkpoints" / name).resolve().name == f"checkpoint_{which}.pth"
    given = ("--run", str(run), "--bootstrap", "0", "--threshold", "0.3", "--presence", "pred_area")
    assert main(["evaluate", *given]) == 0
    found = json.loads((run / "test_metrics_tta_mirror_thr030_area.json").read_text())
    assert found["provenance"]["checkpoints"][0]["path"].endswith("checkpoint_best.pth")
    for wrong, said in (
        (("--tta", "d4"), "expected auto, hv or none"),
        (("--manifest", "x", "--output", "y"), "own test split"),
    ):
        assert main(["evaluate", *given, *wrong]) == 2
        assert said in capsys.readouterr().err


def test_data_that_changed_since_the_export_are_refused(
    run: Path, manifest: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (manifest.parent / "7.png").write_bytes((manifest.parent / "8.png").read_bytes())
    assert main(["nnunet", "score", "--run", str(run), "--bootstrap", "0"]) == 2
    assert "split test has changed since the export" in capsys.readouterr().err


def test_moved_data_are_found_again_and_others_are_not_taken_for_them(
    run: Path, manifest: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", "--run", str(run), "--bootstrap", "0"]) == 0
    there = manifest.parent.rename(manifest.parent.with_name("data_2026"))
    for given in (["evaluate", "--run"], ["nnunet", "score", "--run"], ["train", "--resume", "--run"]):
        assert main([*given, str(run)]) == 2
    assert capsys.readouterr().err.count(f"{manifest}: no such file") == 3
    rows = (there / "manifest.csv").read_text()
    (there / "fewer.csv").write_text("".join(line for line in rows.splitlines(True) if not line.startswith("t3,")))
    given = ["evaluate", "--run", str(run), "--bootstrap", "0", "--manifest"]
    assert main([*given, str(there / "fewer.csv")]) == 2
    assert "split test differs from that of" in capsys.readouterr().err
    assert main([*given, str(there / "manifest.csv")]) == 0
    assert main(["nnunet", "score", "--run", str(run), "--bootstrap", "0"]) == 0


def test_formats_of_a_newer_version_are_named_as_such(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["nnunet", "score", "--run", str(run), "--bootstrap", "0"]) == 0
    index = run / "predictions" / "test_mirror" / "index.json"
    index.write_text(index.read_text().replace("xray-probabilities/2", "xray-probabilities/3"))
    assert main(["blend", "--members", str(run), str(run.parent / "other")]) == 2
    assert f"{index}: written by a newer version (xray-probabilities/3)" in capsys.readouterr().err
    (record,) = run.rglob("export.json")
    record.write_text(record.read_text().replace("xray-nnunet-export/1", "xray-nnunet-export/2"))
    assert main(["evaluate", "--run", str(run)]) == 2
    assert f"{record}: written by a newer version (xray-nnunet-export/2)" in capsys.readouterr().err


def test_an_output_that_is_missing_is_a_failure_and_leaves_nothing(
    run: Path, stand_ins: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = stand_ins / "nnUNetv2_predict"
    command.write_text(command.read_text().replace("output.mkdir()", "output.mkdir(); return"))
    assert main(["nnunet", "score", "--run", str(run)]) == 1
    assert "v1.npz: nnUNetv2_predict saved no probabilities" in capsys.readouterr().err
    assert list((run / "predictions").iterdir()) == []


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("--masks", "--threshold", "tuned"), "masks have no threshold"),
        (("--masks", "--presence", "max"), "masks have only their area"),
        (("--presence", "cls"), "nnU-Net has no head"),
        (("--threshold", "2"), "threshold"),
    ],
)
def test_what_makes_no_sense_is_said_before_anything_is_predicted(
    given: tuple[str, ...], said: str, run: Path, stand_ins: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["nnunet", "score", "--run", str(run), *given]) == 2
    assert said in capsys.readouterr().err
    assert predictions_told(stand_ins) == []


def test_a_run_that_is_not_trained_to_its_end_has_no_final_score(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    next(run.rglob("checkpoint_final.pth")).unlink()
    assert main(["nnunet", "score", "--run", str(run), "--checkpoint", "final"]) == 2
    assert "no such checkpoint; finish the training first" in capsys.readouterr().err
