"""Evaluation end to end: the artifact, its per-image table, choices on validation, other data."""

from __future__ import annotations

import csv
import json
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.cli import main
from engine.contract.files import file_sha256
from engine.evaluation.run import Run, open_run, resolve_tta

pytestmark = pytest.mark.usefixtures("engine_extra")


def artifact(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def table(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


@pytest.fixture
def evaluated(runs_copy: Path) -> Path:
    assert main(["evaluate", "--run", str(runs_copy / "dual"), "--tta", "hv", "--bootstrap", "50"]) == 0
    return runs_copy / "dual" / "test_metrics_tta_hv_tuned.json"


def test_the_figures_follow_from_the_per_image_table(evaluated: Path) -> None:
    found = artifact(evaluated)
    rows = table(evaluated.parent / found["per_image"])
    assert len(rows) == found["num_samples"]
    positives = [row for row in rows if row["dice"]]
    assert len(positives) == found["num_positive"]
    assert found["dice_pos"] == pytest.approx(np.mean([float(row["dice"]) for row in positives]), abs=1e-6)
    assert found["iou_pos"] == pytest.approx(np.mean([float(row["iou"]) for row in positives]), abs=1e-6)
    tp, fp, fn = (sum(int(row[key]) for row in rows) for key in ("tp", "fp", "fn"))
    assert found["precision_pos"] == pytest.approx(tp / (tp + fp))
    assert found["recall_pos"] == pytest.approx(tp / (tp + fn))
    from sklearn.metrics import average_precision_score, roc_auc_score

    labels = [int(row["fractured"]) for row in rows]
    scores = [float(row["presence_score"]) for row in rows]
    assert found["roc_auc_presence"] == roc_auc_score(labels, scores)
    assert found["average_precision_presence"] == average_precision_score(labels, scores)


def test_the_artifact_says_what_was_chosen_and_where(evaluated: Path) -> None:
    found = artifact(evaluated)
    assert found["schema"] == "xray-test-metrics/1"
    assert found["selection"]["threshold_source"] == "val"
    assert 0 <= found["selection"]["optimism"] < 0.2
    assert found["selection"]["presence_source"] == "cls"
    assert found["selection"]["selected_on"] == "val"
    assert found["tta_mode"] == "hv"
    assert found["data"]["fingerprint"].startswith("sha256:")
    assert found["provenance"]["checkpoints"][0]["path"] == "checkpoints/best.pt"
    for part in ("training", "evaluation"):
        assert found["provenance"][part]["device"] in ("cpu, float32", "cpu, bfloat16")
        assert found["provenance"][part]["versions"].keys() == {"torch", "timm", "segmentation-models-pytorch", "numpy"}
        assert found["provenance"][part]["seconds"] > 0
    assert found["provenance"]["evaluation"]["device"] == "cpu, float32"
    assert found["data"]["record"] == file_sha256(evaluated.parent / "data.csv")
    assert found["data"]["split"] == "test"
    assert set(found["validation"]) >= {"dice_pos", "roc_auc_presence", "num_samples"}
    assert set(found["input"]) >= {"dice_pos", "iou_pos", "precision_pos"}
    for low, high in found["intervals"].values():
        assert low <= high
    assert found["all_positive"]["recall_pos"] == 1


def test_at_the_images_own_size_native_and_input_metrics_agree(evaluated: Path) -> None:
    found = artifact(evaluated)  # 64 px images into a 64 px network
    for name, value in found["input"].items():
        assert found[name] == pytest.approx(value), name


def test_auto_is_the_flips_of_the_training_and_written_resolved(runs_copy: Path) -> None:
    run = runs_copy / "dual"
    assert main(["evaluate", "--run", str(run), "--bootstrap", "0"]) == 0
    found = artifact(run / "test_metrics_tta_hv_tuned.json")
    assert (found["tta_mode"], found["selection"]["asked"]["tta"]) == ("hv", "hv")
    assert main(["evaluate", "--run", str(run), "--bootstrap", "0", "--tta", "hv"]) == 0
    assert len(list(run.glob("test_metrics*.json"))) == 1, "the same choice"


@pytest.mark.parametrize(
    ("flips", "expected"),
    [
        ([(0.5, 0.0)], "h"), ([(0.5, 0.5)], "hv"), ([(0.0, 0.5)], "v"), ([(0.0, 0.0)], "none"),
        ([(0.5, 0.5), (0.5, 0.0)], "h"), ([(0.0, 0.5), (0.5, 0.0)], "none"),
    ],
)  # fmt: skip
def test_auto_of_several_runs_is_what_all_were_trained_with(
    flips: list[tuple[float, float]], expected: str, runs_copy: Path
) -> None:
    run = open_run(runs_copy / "plain")

    def trained_with(hflip: float, vflip: float) -> Run:
        augment = run.config.augment.model_copy(update={"hflip": hflip, "vflip": vflip})
        return replace(run, config=run.config.model_copy(update={"augment": augment}))

    assert resolve_tta("auto", [trained_with(*chances) for chances in flips]) == expected
    assert resolve_tta("d4", [trained_with(*chances) for chances in flips]) == "d4"


def test_the_tuned_threshold_is_the_best_on_validation(evaluated: Path) -> None:
    best = artifact(evaluated)
    run = evaluated.parent
    for threshold in ("0.1", "0.3", "0.5", "0.9"):
        assert main(["evaluate", "--run", str(run), "--threshold", threshold, "--bootstrap", "0"]) == 0
        fixed = artifact(run / f"test_metrics_tta_hv_thr{threshold.replace('.', '')}0.json")
        assert (fixed["selection"]["threshold_source"], fixed["selection"]["optimism"]) == ("fixed", None)
        assert fixed["validation"]["dice_pos"] <= best["validation"]["dice_pos"] + 1e-9


def test_probabilities_are_cached_and_made_anew_for_another_checkpoint(runs_copy: Path) -> None:
    run = runs_copy / "plain"
    given = ["evaluate", "--run", str(run), "--tta", "none", "--bootstrap", "0"]
    assert main(given) == 0
    cache = run / "predictions" / "test_none" / "probabilities.npy"
    made = cache.stat().st_mtime_ns
    assert main(given) == 0
    assert cache.stat().st_mtime_ns == made
    assert main([*given, "--checkpoint", "last"]) == 0
    assert (run / "test_metrics_tuned.json").exists()
    import torch

    best = run / "checkpoints" / "best.pt"
    state = torch.load(best, weights_only=True)
    state["network"]["segmenter.segmentation_head.0.bias"] += 1
    torch.save(state, best)
    assert main(given) == 0
    assert cache.stat().st_mtime_ns != made


def test_nothing_is_overwritten_by_another_selection_of_the_same_name(runs_copy: Path) -> None:
    run = runs_copy / "plain"
    given = ["evaluate", "--run", str(run), "--tta", "none", "--bootstrap", "0", "--threshold", "0.5"]
    assert main([*given, "--gate", "0.2"]) == 0
    first = (run / "test_metrics_thr050_gated.json").read_bytes()
    assert main([*given, "--gate", "0.7"]) == 0
    assert (run / "test_metrics_thr050_gated.json").read_bytes() == first
    others = list(run.glob("test_metrics_thr050_gated_*.json"))
    assert len(others) == 1
    assert artifact(others[0])["selection"]["gate"] == 0.7
    assert (run / artifact(others[0])["per_image"]).exists()


def test_a_plain_run_chooses_its_presence_source_on_validation(
    runs_copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = runs_copy / "plain"
    given = ["evaluate", "--run", str(run), "--tta", "none", "--bootstrap", "0", "--threshold", "0.5"]
    assert main(given) == 0
    auto = artifact(run / "test_metrics_thr050.json")
    for source, suffix in (("max", "max"), ("topk_mean", "topk"), ("mean", "mean"), ("pred_area", "area")):
        assert main([*given, "--presence", source]) == 0
        other = artifact(run / f"test_metrics_thr050_{suffix}.json")
        assert other["validation"]["roc_auc_presence"] <= auto["validation"]["roc_auc_presence"]
    assert main([*given, "--presence", "cls"]) == 2
    assert "this run has no classification head" in capsys.readouterr().err


def test_a_tuned_gate_never_lowers_the_mean_dice_over_all_validation_images(runs_copy: Path) -> None:
    run = runs_copy / "dual"
    given = ["evaluate", "--run", str(run), "--tta", "none", "--bootstrap", "0"]
    assert main(given) == 0
    assert main([*given, "--gate", "tuned"]) == 0
    gated = artifact(run / "test_metrics_tuned_gated.json")
    assert gated["selection"]["gate_source"] == "val"
    assert gated["validation"]["dice"] >= artifact(run / "test_metrics_tuned.json")["validation"]["dice"]


def test_a_run_of_one_fold_is_judged_by_that_folds_validation(runs_copy: Path, synthetic: Path) -> None:
    from engine.data.manifest import fingerprint, read_manifest
    from engine.data.splits import earlier_fold
    from engine.models.checkpoint import load_checkpoint, save_checkpoint

    run = runs_copy / "plain"
    best = run / "checkpoints" / "best.pt"
    state = load_checkpoint(best)
    state["config"]["data"] |= {"fold": 1, "folds": 3}
    save_checkpoint(best, state)
    config = run / "config.yaml"
    text = config.read_text().replace("  fold: null\n", "  fold: 1\n")
    config.write_text(text.replace("  folds: 5\n", "  folds: 3\n"))
    assert main(["evaluate", "--run", str(run), "--tta", "none", "--bootstrap", "0"]) == 0
    samples = earlier_fold(read_manifest(synthetic), 1, 3)
    of_fold = [sample for sample in samples if sample.split == "val"]
    assert artifact(run / "test_metrics_tuned.json")["validation"]["num_samples"] == len(of_fold)
    kept = json.loads((run / "predictions" / "val_none" / "index.json").read_text())
    assert kept["data"] == fingerprint(of_fold)


def test_a_run_is_scored_on_other_data_with_that_datas_fingerprint(evaluated: Path, tmp_path: Path) -> None:
    from engine.data.synthetic import make_synthetic

    other = make_synthetic(tmp_path / "other", 20, 64, 99)
    output = tmp_path / "external" / "metrics.json"
    given = ["evaluate", "--run", str(evaluated.parent), "--bootstrap", "0"]
    assert main([*given, "--manifest", str(other), "--output", str(output)]) == 0
    mine, external = artifact(evaluated), artifact(output)
    assert external["data"]["fingerprint"] != mine["data"]["fingerprint"]
    assert external["threshold"] == mine["threshold"]
    assert external["validation"] == mine["validation"]
    assert external["num_samples"] == sum(line.endswith(",test") for line in other.read_text().splitlines())


def test_data_without_negatives_have_no_presence_metrics(runs_copy: Path, synthetic: Path, tmp_path: Path) -> None:
    from engine.data.manifest import read_manifest, write_manifest

    positives = [sample for sample in read_manifest(synthetic) if sample.split == "test" and sample.fractured]
    write_manifest(tmp_path / "positives.csv", positives)
    given = ["--run", str(runs_copy / "dual"), "--tta", "none", "--bootstrap", "50"]
    given += ["--manifest", str(tmp_path / "positives.csv"), "--output", str(tmp_path / "positives.json")]
    assert main(["evaluate", *given]) == 0
    found = artifact(tmp_path / "positives.json")
    for name in ("roc_auc_presence", "average_precision_presence", "fp_area_neg"):
        assert name not in found
        assert name not in found["intervals"]
        assert name in found["validation"]
    assert "dice_pos" in found["intervals"]


def test_an_artifact_of_a_newer_version_is_not_overwritten(evaluated: Path) -> None:
    newer = evaluated.read_text().replace("xray-test-metrics/1", "xray-test-metrics/2")
    evaluated.write_text(newer)
    assert main(["evaluate", "--run", str(evaluated.parent), "--tta", "hv", "--bootstrap", "50"]) == 0
    assert evaluated.read_text() == newer
    assert len(list(evaluated.parent.glob("test_metrics_tta_hv_tuned_*.json"))) == 1


def test_a_checkpoint_of_a_newer_version_is_named_as_such(runs_copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import torch

    for name, command in (("best.pt", ["evaluate"]), ("last.pt", ["train", "--resume"])):
        path = runs_copy / "dual" / "checkpoints" / name
        torch.save({**torch.load(path, weights_only=True), "format": "xray-checkpoint/2"}, path)
        assert main([*command, "--run", str(runs_copy / "dual")]) == 2
        says = f"{path}: written by a newer version (xray-checkpoint/2); this version reads xray-checkpoint/1"
        assert says in capsys.readouterr().err


@pytest.fixture
def moved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project's run, trained here and now, its data at data_2026 since; the working directory is another project's,
    where the run's relative path leads to other data."""
    from engine.data.synthetic import make_synthetic

    mine, other = tmp_path / "mine", tmp_path / "other"
    make_synthetic(mine / "data", 24, 64, 1)
    make_synthetic(other / "data", 24, 64, 2)
    (other / "x" / "y").mkdir(parents=True)
    recipe = mine / "recipe.yaml"
    recipe.write_text(
        "data: {image_size: 64, manifest: data/manifest.csv}\nmodel: {arch: plain_unet, levels: 2, channels: 4}\n"
        "training: {epochs: 1, batch_size: 8}\n"
    )
    assert main(["train", "--config", str(recipe), "--run", str(mine / "runs" / "a")]) == 0
    (mine / "data").rename(mine / "data_2026")
    monkeypatch.chdir(other / "x" / "y")
    return mine / "runs" / "a"


EVALUATE = ("--tta", "none", "--bootstrap", "0")


def test_a_run_whose_data_are_gone_is_never_scored_on_those_of_the_working_directory(
    moved: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(moved.rglob("*"))
    for given in (["evaluate", "--run", str(moved), *EVALUATE], ["train", "--run", str(moved), "--resume"]):
        assert main(given) == 2
        said = capsys.readouterr().err
        assert f"{moved.parents[1]}/data/manifest.csv: no such file (data.manifest of {moved})" in said
        assert f"xray-engine evaluate --run {moved} --manifest NEW.csv" in said
    assert sorted(moved.rglob("*")) == before


def test_the_command_in_that_message_finds_moved_data_again_for_every_other_command(
    moved: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    at = moved.parents[1] / "data_2026" / "manifest.csv"
    assert main(["evaluate", "--run", str(moved), *EVALUATE, "--manifest", str(at)]) == 0
    assert "data.manifest is now ../../data_2026/manifest.csv" in capsys.readouterr().out
    found = artifact(moved / "test_metrics_tuned.json")
    assert "manifest" not in found["data"], "these are the run's own data"
    assert main(["train", "--run", str(moved), "--resume"]) == 0
    assert main(["evaluate", "--run", str(moved), "--bootstrap", "0"]) == 0


def test_other_data_are_not_taken_for_a_runs_own(moved: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = (moved / "config.yaml").read_bytes()
    for checkpoint in ("best", "last"):
        given = ["--manifest", "../../data/manifest.csv", "--checkpoint", checkpoint]
        assert main(["evaluate", "--run", str(moved), *EVALUATE, *given]) == 2
        said = capsys.readouterr().err
        assert "split val differs from that of" in said
        assert "add --output FILE" in said
    assert (moved / "config.yaml").read_bytes() == config
    assert not list(moved.glob("*.json"))


def test_the_same_images_in_other_splits_are_not_a_runs_own_data(
    moved: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Images that it was trained on would be scored as its test split."""
    at = moved.parents[1] / "data_2026" / "manifest.csv"
    swapped = at.read_text().replace(",test", ",TRAIN").replace(",train", ",test").replace(",TRAIN", ",train")
    at.with_name("swapped.csv").write_text(swapped)
    given = ["--manifest", str(at.with_name("swapped.csv"))]
    assert main(["evaluate", "--run", str(moved), *EVALUATE, *given]) == 2
    assert "split test differs from that of" in capsys.readouterr().err


def test_moved_data_of_a_run_of_an_older_version_are_known_by_its_predictions(
    moved: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its checkpoints hold no fingerprints."""
    import torch

    best = moved / "checkpoints" / "best.pt"
    state = torch.load(best, weights_only=True)
    del state["fingerprints"]
    torch.save(state, best)
    given = ["evaluate", "--run", str(moved), *EVALUATE]
    at = moved.parents[1] / "data_2026" / "manifest.csv"
    assert main([*given, "--manifest", str(at)]) == 2
    assert "has no fingerprint of its training data" in capsys.readouterr().err
    at.parent.rename(moved.parents[1] / "data")
    assert main(given) == 0
    (moved.parents[1] / "data").rename(at.parent)
    assert main([*given, "--manifest", "../../data/manifest.csv"]) == 2
    assert "split val differs from that of" in capsys.readouterr().err
    assert main([*given, "--manifest", str(at)]) == 0


def test_an_evaluation_stops_at_once_and_leaves_nothing_half_made(
    runs_copy: Path, job_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from engine.evaluation import predict

    run, mean_over_views = runs_copy / "dual", predict.mean_over_views
    before = sorted(path.name for path in run.iterdir())

    def stopped(*given: object) -> object:
        os.kill(os.getpid(), signal.SIGTERM)
        return mean_over_views(*given)

    monkeypatch.setattr(predict, "mean_over_views", stopped)
    assert main(["evaluate", "--run", str(run), "--tta", "none"]) == 3
    assert json.loads((job_folder / "end.json").read_text())["code"] == 3
    assert sorted(path.name for path in run.iterdir() if path.name != "predictions") == before
    assert list((run / "predictions").iterdir()) == []


@pytest.mark.parametrize("tta", ["none", "h", "v", "hv", "d4"])
def test_every_view_is_undone_exactly(tta: str) -> None:
    import torch

    from engine.evaluation.predict import VIEWS, apply_view, undo_view

    images = torch.rand(2, 1, 8, 8)
    views = VIEWS[tta]
    assert len({tuple(apply_view(images, view).flatten().tolist()) for view in views}) == len(views)
    for view in views:
        assert torch.equal(undo_view(apply_view(images, view), view), images)


def test_vertical_and_horizontal_views_are_flips() -> None:
    import torch

    from engine.evaluation.predict import VIEWS, apply_view

    images = torch.rand(1, 1, 4, 4)
    seen = [apply_view(images, view) for view in VIEWS["hv"]]
    assert torch.equal(seen[1], images.flip(3))
    assert torch.equal(seen[2], images.flip(2))
