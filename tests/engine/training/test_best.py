"""Which checkpoints are kept, and when a training has seen enough."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.cli import main
from engine.contract.events import parse_events

from .conftest import Train, changed, epochs, saved

pytest.importorskip("timm")

from engine.training.checkpoints import Best, needs_negatives, remove_others, score


def test_the_best_epochs_are_kept_and_of_equal_ones_the_earlier() -> None:
    best = Best()
    taken = [best.take(value, epoch, 2) for epoch, value in enumerate([0.1, 0.3, 0.3, 0.2, 0.4], 1)]
    assert taken == [True, True, False, False, True]
    assert best.kept == [(0.4, 5), (0.3, 2)]
    assert best.epoch == 5


def test_what_is_out_of_the_best_is_removed_and_nothing_else(tmp_path: Path) -> None:
    best = Best()
    for epoch, value in enumerate([0.5, 0.6, 0.4], 1):
        (tmp_path / f"best_{epoch}.pt").touch()
        best.take(value, epoch, 2)
    for name in ("best.pt", "last.pt", "best_of_all.pt"):
        (tmp_path / name).touch()
    remove_others(tmp_path, best)
    assert {path.name for path in tmp_path.iterdir()} == {
        "best_1.pt", "best_2.pt", "best.pt", "last.pt", "best_of_all.pt"
    }  # fmt: skip


def test_the_score_is_the_weighted_sum_in_which_a_loss_counts_downwards() -> None:
    metrics = {"dice_pos": 0.4, "roc_auc_presence": 0.8, "loss": 0.5}
    assert score(metrics, "joint") == pytest.approx(1.2)
    assert score(metrics, "dice_pos + 0.5 * roc_auc_presence") == pytest.approx(0.8)
    assert score(metrics, "loss") == -0.5
    assert score(metrics, "0.5*dice_pos+2*loss") == pytest.approx(-0.8)
    assert score(metrics, "precision_pos") == 0.0, "nothing was predicted"
    assert score({"dice_pos": 0.4, "missed_pos": 0.1}, "dice_pos + 2 * missed_pos") == pytest.approx(0.2)
    assert needs_negatives("dice_pos + 0.1 * roc_auc_presence")
    assert not needs_negatives("dice_pos + iou_pos + loss")


def test_a_training_keeps_its_best_k_by_a_weighted_sum(train: Train) -> None:
    metric = "0.5 * dice_pos + roc_auc_presence"
    run = train("run", "training.epochs=4", "training.keep_best=2", f"training.selection_metric={metric}")
    scores = {event["epoch"]: score(event["val"], metric) for event in epochs(run)}
    order = sorted(scores, key=lambda epoch: (-scores[epoch], epoch))
    kept = {path.name for path in (run / "checkpoints").iterdir()}
    assert kept == {"best.pt", "last.pt", *(f"best_{epoch}.pt" for epoch in order[:2])}
    best, first = (saved(run / "checkpoints" / name) for name in ("best.pt", f"best_{order[0]}.pt"))
    assert best["epoch"] == first["epoch"] == order[0]
    assert not changed(best["network"], first["network"])


def test_a_training_without_better_checkpoints_ends_early_and_stays_ended(
    train: Train, capsys: pytest.CaptureFixture[str]
) -> None:
    import torch

    still = ("training.lr=1e-12", "training.encoder_lr=1e-12", "training.freeze_batch_norm=true")
    run = train("run", "training.epochs=9", "training.early_stopping=2", *still, "training.selection_metric=dice_pos")
    assert [event["epoch"] for event in epochs(run)] == [1, 2, 3]
    assert "stopped early: no better checkpoint since epoch 1\n" in capsys.readouterr().out
    ends = [e for e in parse_events((run / "events.jsonl").read_text()) if e["event"] == "end"]
    assert [(end["state"], end["step"]) for end in ends] == [("done", 9)]
    before = torch.load(run / "checkpoints" / "last.pt", weights_only=True)
    assert main(["train", "--run", str(run), "--resume"]) == 0
    after = torch.load(run / "checkpoints" / "last.pt", weights_only=True)
    assert after["state"]["step"] == before["state"]["step"] == 9
    assert len(epochs(run)) == 3


def test_a_last_checkpoint_of_before_there_was_a_list_of_the_best_goes_on(
    runs_copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import torch

    last = runs_copy / "dual" / "checkpoints" / "last.pt"
    state = torch.load(last, weights_only=True)
    state["state"]["best"] = 5.0  # better than any score can be
    del state["ema"], state["steps of version"]
    steps = state["state"]["step"]
    state["state"]["step"] = steps // 2
    torch.save(state, last)
    assert main(["train", "--run", str(runs_copy / "dual"), "--resume"]) == 0
    now = torch.load(last, weights_only=True)["state"]
    assert (now["step"], now["best"]["score"]) == (steps, 5.0)
    assert not epochs(runs_copy / "dual")[-1]["best"]
    assert "this resume is not bit-exact: steps of version 1, now 2\n" in capsys.readouterr().out
