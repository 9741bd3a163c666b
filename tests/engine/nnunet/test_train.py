"""A training from config to curve, stops and failures included; stand-ins for nnU-Net's commands run as processes."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from engine.cli import main
from engine.contract.errors import Failed
from engine.contract.events import parse_events
from engine.contract.load import load_nnunet_config
from engine.data.window import Window, read_window, write_window
from engine.nnunet.layout import Layout
from engine.nnunet.tool import failure

pytestmark = pytest.mark.usefixtures("engine_extra")


@pytest.fixture
def train(config: Path, runs: Path, stand_ins: Path) -> Callable[..., int]:
    """Runs `xray-engine train` for runs/nn; its exit status."""

    def run(*given: str) -> int:
        return main(["train", "--config", str(config), "--run", str(runs / "nn"), *given])

    return run


def events(runs: Path) -> list[dict[str, Any]]:
    return list(parse_events((runs / "nn" / "events.jsonl").read_text()))


def told(stand_ins: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (stand_ins / "told.jsonl").read_text().splitlines()]


def test_a_training_is_on_our_curve(train: Callable[..., int], runs: Path) -> None:
    assert train() == 0
    start, *middle, end = events(runs)
    assert (start["event"], start["run"], start["epochs"], start["steps"], start["step"]) == ("start", "nn", 5, 5, 0)
    assert (end["event"], end["state"], end["step"]) == ("end", "done", 5)
    epochs = [event for event in middle if event["event"] == "epoch"]
    assert [event["epoch"] for event in epochs] == [1, 2, 3, 4, 5]
    assert [event["loss"] for event in epochs] == [0.1, 0.0, -0.1, -0.2, -0.3]
    assert [event["val"]["pseudo_dice"] for event in epochs] == [0.0, 0.1, 0.2, 0.3, 0.4]
    assert [event["best"] for event in epochs] == [True, False, True, False, True]
    assert [event["eta_s"] for event in epochs] == [8.0, 6.0, 4.0, 2.0, 0.0]
    assert "dice_pos" not in epochs[0]["val"]  # pooled over patches, it is another thing


def test_nnunet_is_told_where_its_folders_are_and_what_a_cpu_needs(
    train: Callable[..., int], runs: Path, stand_ins: Path
) -> None:
    assert train() == 0
    plan, training = told(stand_ins)
    root = runs / "nn" / "checkpoints" / "nnunet"
    for command in (plan, training):
        assert command["nnUNet_raw"] == str(root / "raw")
        assert command["nnUNet_preprocessed"] == str(root / "preprocessed")
        assert command["nnUNet_results"] == str(root / "results")
        assert command["nnUNet_compile"] == "f"
    assert plan["nnUNet_n_proc_DA"] == "1"  # its planner fails with 0
    assert training["nnUNet_n_proc_DA"] == "0"
    assert training["arguments"][:3] == ["Dataset001_xray", "2d", "0"]
    assert "nnUNetTrainer_5epochs" in training["arguments"]
    assert "--c" not in training["arguments"]


def test_the_folds_are_in_place_before_the_training(train: Callable[..., int], runs: Path, stand_ins: Path) -> None:
    assert train() == 0
    layout = Layout(runs / "nn", load_nnunet_config(runs / "nn" / "config.yaml"))
    assert json.loads(layout.folds.read_text())[0]["val"] == ["v1", "v2", "v3"]


def test_a_fold_of_ours_is_the_one_that_nnunet_trains(train: Callable[..., int], runs: Path, stand_ins: Path) -> None:
    assert train("--set", "data.fold=2", "--set", "data.folds=3") == 0
    assert told(stand_ins)[-1]["arguments"][:3] == ["Dataset001_xray", "2d", "2"]
    layout = Layout(runs / "nn", load_nnunet_config(runs / "nn" / "config.yaml"))
    assert layout.folds.read_bytes() == (layout.dataset / "splits_final.json").read_bytes()
    assert layout.checkpoint("final").parent.name == "fold_2"
    assert (runs / "nn" / "checkpoints" / "best.pt").read_bytes() == b"best"


@pytest.mark.parametrize("wrong", ["manifest.csv", "0_mask.png"])
def test_data_that_are_wrong_leave_nothing_and_the_mended_ones_are_trained_by_the_same_command(
    wrong: str, train: Callable[..., int], runs: Path, manifest: Path
) -> None:
    whole = (manifest.parent / wrong).read_bytes()
    if wrong == "manifest.csv":
        manifest.unlink()
    else:
        Image.new("L", (5, 5)).save(manifest.parent / wrong)
    assert train() == 2
    assert list(runs.iterdir()) == []
    (manifest.parent / wrong).write_bytes(whole)
    assert train() == 0


def test_an_export_that_fails_takes_no_trained_weights_with_it(
    train: Callable[..., int], runs: Path, manifest: Path
) -> None:
    assert train() == 0
    layout = Layout(runs / "nn", load_nnunet_config(runs / "nn" / "config.yaml"))
    shutil.rmtree(layout.raw)
    layout.checkpoint("final").unlink()
    manifest.unlink()
    assert train("--resume") == 2
    assert layout.checkpoint("latest").exists()
    assert (runs / "nn" / "config.yaml").exists()


def test_a_job_sees_how_far_it_is(train: Callable[..., int], job_folder: Path) -> None:
    assert train() == 0
    progress = json.loads((job_folder / "progress.json").read_text())
    assert progress["phase"] == "nnU-Net's own validation"
    assert progress["total"] == 3
    assert json.loads((job_folder / "end.json").read_text())["code"] == 0


def test_a_failed_training_goes_on_where_it_was(
    train: Callable[..., int],
    runs: Path,
    stand_ins: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("STAND_IN_FAILS_AT", "2")  # no best epoch: no line follows its last one
    monkeypatch.setenv("STAND_IN_SAYS", "RuntimeError: Some background workers are no longer alive")
    assert train() == 1
    error = capsys.readouterr().err
    assert "nnUNetv2_train ended with exit status 1: RuntimeError: Some background workers" in error
    assert train() == 2  # not an empty folder
    monkeypatch.delenv("STAND_IN_FAILS_AT")
    assert train("--resume") == 0
    commands = told(stand_ins)
    assert [command["command"] for command in commands] == ["nnUNetv2_plan_and_preprocess", *["nnUNetv2_train"] * 2]
    assert "--c" in commands[-1]["arguments"]
    found = [(event["event"], event.get("epoch", event.get("step"))) for event in events(runs)]
    starts = [place for place, event in enumerate(found) if event[0] == "start"]
    assert found[starts[1]] == ("start", 2)
    assert [epoch for name, epoch in found if name == "epoch"] == [1, 2, 3, 4, 5]
    assert found[-1] == ("end", 5)


def test_what_is_trained_to_its_end_is_not_trained_again(
    train: Callable[..., int], runs: Path, stand_ins: Path
) -> None:
    assert train() == 0
    before = (runs / "nn" / "events.jsonl").read_bytes()
    assert train("--resume") == 0
    assert len(told(stand_ins)) == 2
    assert (runs / "nn" / "events.jsonl").read_bytes() == before


def test_a_checkpoint_that_was_cut_short_is_set_aside(
    train: Callable[..., int],
    runs: Path,
    stand_ins: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("STAND_IN_FAILS_AT", "1")
    monkeypatch.setenv("STAND_IN_SAYS", "out")
    assert train() == 1
    monkeypatch.delenv("STAND_IN_FAILS_AT")
    latest = Layout(runs / "nn", load_nnunet_config(runs / "nn" / "config.yaml")).checkpoint("latest")
    latest.write_bytes(b"PK\3\4 half of it")
    assert train("--resume") == 0
    assert "--c" not in told(stand_ins)[-1]["arguments"]
    assert "nn: no checkpoint yet; the training starts from the beginning" in capsys.readouterr().out
    assert latest.with_name("checkpoint_latest.pth.damaged").exists()
    assert [event["epoch"] for event in events(runs) if event["event"] == "epoch"] == [1, 2, 3, 4, 5]


def test_preprocessing_that_was_killed_begins_anew(train: Callable[..., int], runs: Path, stand_ins: Path) -> None:
    assert train() == 0
    layout = Layout(runs / "nn", load_nnunet_config(runs / "nn" / "config.yaml"))
    layout.folds.unlink()
    layout.checkpoint("final").unlink()
    assert train("--resume") == 0
    assert [command["command"] for command in told(stand_ins)].count("nnUNetv2_plan_and_preprocess") == 2


def test_the_train_command_trains_it_too(config: Path, runs: Path, stand_ins: Path) -> None:
    given = ["train", "--run", str(runs / "nn"), "--set", "training.epochs=1"]
    assert main([*given, "--config", str(config), "--gpus", "2"]) == 2
    assert main([*given, "--config", str(config)]) == 0
    assert main(["train", "--run", str(runs / "nn"), "--resume"]) == 0
    assert [event["state"] for event in events(runs) if event["event"] == "end"] == ["done"]
    assert len(told(stand_ins)) == 2


def test_another_config_is_no_continuation(train: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    assert train() == 0
    assert train("--resume", "--set", "training.epochs=10") == 2
    assert "--resume continues this config" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("says", "status", "cause"),
    [
        ("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 MiB", 4, "out of memory"),
        ("OSError: [Errno 28] No space left on device", 5, "no space left"),
    ],
)
def test_memory_and_disk_have_exit_statuses_of_their_own(
    says: str,
    status: int,
    cause: str,
    train: Callable[..., int],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("STAND_IN_FAILS_AT", "1")
    monkeypatch.setenv("STAND_IN_SAYS", says)
    assert train() == status
    assert cause in capsys.readouterr().err


def test_without_nnunet_the_extra_is_named(
    config: Path, runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", "")
    assert main(["train", "--config", str(config), "--run", str(runs / "nn")]) == 2
    assert "pip install 'xray-tui[nnunet]'" in capsys.readouterr().err
    assert not (runs / "nn").exists()


def test_a_signal_is_a_cause() -> None:
    killed = failure("nnUNetv2_train", -signal.SIGKILL, ["Epoch 3"])
    assert isinstance(killed, Failed)
    assert str(killed) == "nnUNetv2_train was killed by SIGKILL; before that: Epoch 3"


STUBBORN = """
import os, signal, subprocess, sys, time
worker = subprocess.Popen(["sleep", "600"])
signal.signal(signal.SIGTERM, {handler})
print("pids", os.getpid(), worker.pid, flush=True)
time.sleep(600)
"""

RUNS_IT = """
import os, sys
from engine.contract.errors import Stopped
from engine.nnunet import tool
tool.GRACE_S = 0.2
try:
    tool.run_tool([sys.executable, "-c", sys.argv[1]], os.environ)
except Stopped:
    print("stopped", flush=True)
"""


def is_alive(pid: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def wait_until(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)


@pytest.mark.parametrize("handler", ["signal.SIG_DFL", "signal.SIG_IGN"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_stop_ends_the_command_and_all_that_it_started(handler: str, number: signal.Signals) -> None:
    command = [sys.executable, "-c", RUNS_IT, STUBBORN.format(handler=handler)]
    ours = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert ours.stdout is not None
    _, leader, worker = ours.stdout.readline().split()
    ours.send_signal(number)
    if number is signal.SIGKILL:  # nobody is left to end the worker but the job's supervisor
        wait_until(lambda: not is_alive(int(leader)))
        os.kill(int(worker), signal.SIGKILL)
    else:
        assert ours.stdout.read() == "stopped\n"
        assert ours.wait(60) == 0
        wait_until(lambda: not is_alive(int(leader)) and not is_alive(int(worker)))
    ours.wait(60)
    ours.stdout.close()


@pytest.mark.parametrize("fold", ["null", "1"])
def test_16_bit_images_are_exported_with_the_window_of_their_set(
    fold: str, train: Callable[..., int], runs: Path, manifest: Path, stand_ins: Path
) -> None:
    window = Window(0, 255 * 100, 10)
    for path in manifest.parent.glob("[0-9].png"):
        Image.fromarray(np.asarray(Image.open(path)).astype(np.uint16) * 100).save(path)
    write_window(manifest.with_name("manifest.yaml"), window)
    assert train("--set", f"data.fold={fold}", "--set", "data.folds=2") == 0
    assert read_window(runs / "nn" / "window.yaml") == window
    exports = [path for path in (runs / "nn").rglob("imagesT*/*.png") if "v2" in path.name or "t2" in path.name]
    assert exports
    expected = {"v2": 65, "t2": 68}
    for path in exports:
        (name,) = [name for name in expected if name in path.name]
        assert set(np.unique(np.asarray(Image.open(path)))) == {expected[name]}
