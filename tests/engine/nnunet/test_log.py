"""nnU-Net's log, as nnunetv2 2.8.1 wrote it on a CPU with numpy 2."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine.contract.events import parse_events
from engine.nnunet.log import TrainingLog, epochs_of, kept_bytes

RECORDED = """\
Using device: cpu
2026-11-24 11:50:16.716857: do_dummy_2d_data_aug: False
2026-11-24 11:50:16.717284: This split has 16 training and 4 validation cases.
2026-11-24 11:50:16.815889:
2026-11-24 11:50:16.815938: Epoch 0
2026-11-24 11:50:16.815999: Current learning rate: 0.01
2026-11-24 11:50:41.196554: train_loss 0.0275
2026-11-24 11:50:41.196702: val_loss -0.0239
2026-11-24 11:50:41.196751: Pseudo dice [np.float32(0.3125)]
/site-packages/seaborn/matrix.py:1: UserWarning: in between
2026-11-24 11:50:41.196804: Epoch time: 24.38 s
2026-11-24 11:50:41.196844: Yayy! New best EMA pseudo Dice: 0.3125
2026-11-24 11:50:42.815889:
2026-11-24 11:50:42.815938: Epoch 1
2026-11-24 11:50:42.815999: Current learning rate: 1e-05
2026-11-24 11:50:43.196554: train_loss -0.5
2026-11-24 11:50:43.196702: val_loss -0.25
2026-11-24 11:50:43: Pseudo dice [nan]
2026-11-24 11:50:43.196804: Epoch time: 25.0 s
2026-11-24 11:50:44.887642: Training done.
2026-11-24 11:50:44.914287: predicting synth_0005
2026-11-24 11:50:44.914967: synth_0005, shape torch.Size([1, 1, 32, 32]), rank 0
2026-11-24 11:50:52.463968: Mean Validation Dice:  0.0
"""


def read(run: Path, log: str) -> list[dict[str, Any]]:
    """The events, without their times."""
    reader = TrainingLog(run, run / "debug.json", 1)
    for line in log.splitlines():
        reader.take(line)
    reader.close()
    events = (run / "events.jsonl").read_text("utf-8")
    return [{key: value for key, value in event.items() if key != "time"} for event in parse_events(events)]


def test_each_epoch_is_written_with_all_values_of_the_log(tmp_path: Path) -> None:
    start, step, first, _, second = read(tmp_path, RECORDED)
    assert (start["event"], start["step"], start["epochs"]) == ("start", 0, 1000)
    facts = {"epoch": 1, "step": 1, "loss": 0.0275, "lr": 0.01, "eta_s": 24355.6}
    assert step == {"event": "step", "steps": 1000, **facts}
    val = {"pseudo_dice": 0.3125, "loss": -0.0239}
    assert first == {"event": "epoch", "epochs": 1000, **facts, "val": val, "best": True}
    assert (second["epoch"], second["lr"], second["loss"], second["best"]) == (2, 1e-5, -0.5, False)
    assert second["val"] == {"pseudo_dice": None, "loss": -0.25}


def test_an_unfinished_epoch_is_not_written(tmp_path: Path) -> None:
    cut = RECORDED[: RECORDED.index("2026-11-24 11:50:41.196804: Epoch time")]
    assert [event["event"] for event in read(tmp_path, cut)] == ["start"]


def test_a_loss_that_is_nan_is_written_without_a_value(tmp_path: Path) -> None:
    assert read(tmp_path, RECORDED.replace("train_loss 0.0275", "train_loss nan"))[2]["loss"] is None


def test_an_older_numpy_writes_the_pseudo_dice_plainly(tmp_path: Path) -> None:
    assert read(tmp_path, RECORDED.replace("np.float32(0.3125)", "0.3125"))[2]["val"]["pseudo_dice"] == 0.3125


EVENTS = (
    b'{"event": "start", "time": 1.0, "epochs": 5, "steps": 5, "step": 0}\n'
    b'{"event": "step", "time": 1.0, "epoch": 1, "step": 1}\n'
    b'{"event": "epoch", "time": 1.0, "epoch": 1}\n'
    b'{"event": "step", "time": 1.0, "epoch": 2, "step": 2}\n'
    b'{"event": "epoch", "time": 1.0, "epoch": 2}\n'
    b'{"event": "end", "time": 1.0, "state": "stopped"}\n'
    b'{"event": "st'
)


@pytest.mark.parametrize(("epoch", "kept_lines"), [(0, 0), (1, 3), (2, 5), (3, 5)])
def test_events_past_the_checkpoint_are_cut_off(epoch: int, kept_lines: int) -> None:
    assert EVENTS[: kept_bytes(EVENTS, epoch)] == b"".join(EVENTS.splitlines(keepends=True)[:kept_lines])


def test_the_number_of_epochs_is_the_trainers_own(tmp_path: Path) -> None:
    debug = tmp_path / "debug.json"
    assert epochs_of(debug) == 1000
    debug.write_text('{"num_epochs": "50"}')
    assert epochs_of(debug) == 50
    debug.write_text('{"num_epochs": []}')
    assert epochs_of(debug) == 1000
