"""The mean of a run's best checkpoints, as a run of its own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from engine.cli import main

from .conftest import MakeLearner, Train, batch_of, saved, tensors


def test_the_mean_is_a_run_that_can_be_evaluated_and_says_what_it_is_of(
    train: Train, capsys: pytest.CaptureFixture[str]
) -> None:
    import torch

    run = train("run", "training.epochs=3", "training.keep_best=3", "training.ema=0.9")
    output = run.with_name("run_mean")
    assert main(["average", "--run", str(run), "--best", "2", "--output", str(output)]) == 0
    said = capsys.readouterr().out
    told = json.loads((output / "average.json").read_text())
    assert told["of"] == "../run"
    kept = [saved(output / entry["path"]) for entry in told["checkpoints"]]
    assert len(kept) == 2
    assert f"mean of epochs {kept[0]['epoch']}, {kept[1]['epoch']}\n" in said
    mean = saved(output / "checkpoints" / "best.pt")["network"]
    for name, tensor in mean.items():
        if "running_" not in name and tensor.is_floating_point():
            expected = (kept[0]["network"][name].double() + kept[1]["network"][name].double()) / 2
            assert torch.equal(tensor, expected.float()), name
    config = yaml.safe_load((output / "config.yaml").read_text())
    assert config["training"]["init_from"] == "../run", (
        "a board tells it from the run, and a seed's mean from another's"
    )
    assert main(["evaluate", "--run", str(output), "--bootstrap", "0"]) == 0
    assert main(["train", "--run", str(output), "--resume"]) == 2
    assert "cannot be resumed" in capsys.readouterr().err


def test_the_mean_reads_images_with_its_runs_window(train: Train) -> None:
    from engine.data.window import Window, read_window, write_window

    run = train("run", "training.epochs=2", "training.keep_best=2")
    write_window(run / "window.yaml", Window(10, 3000, 5))
    output = run.with_name("run_mean")
    assert main(["average", "--run", str(run), "--output", str(output)]) == 0
    assert read_window(output / "window.yaml") == Window(10, 3000, 5)


def test_statistics_of_what_rested_stay(train: Train) -> None:
    import torch

    run = train("run", "training.epochs=2", "training.keep_best=2", "training.freeze_layers=1")
    output = run.with_name("run_mean")
    assert main(["average", "--run", str(run), "--output", str(output)]) == 0
    before, after = (saved(folder / "checkpoints" / "best.pt")["network"] for folder in (run, output))
    stem = "segmenter.encoder.model.conv1.1.running_mean"
    decoder = next(name for name in after if "decoder" in name and name.endswith("running_mean"))
    assert torch.equal(before[stem], after[stem])
    assert not torch.equal(before[decoder], after[decoder])


def test_statistics_of_batch_norm_are_those_of_the_training_images(make_learner: MakeLearner) -> None:
    """Where the first norm sees its layer's output of all images, its statistics are that output's. Images that a
    manifest has sorted, four dark and four bright ones, are mixed in its batches."""
    import numpy as np
    import torch

    from engine.evaluation.predict import to_tensor
    from engine.training.average import estimate_batch_norm

    learner = make_learner(lr=0.05)
    learner.step(batch_of(4), 0.0)
    images = np.random.default_rng(0).integers(0, 56, (8, 32, 32), np.uint8)
    images[4:] += 200
    before = tensors(learner.network)
    estimate_batch_norm(learner.network, images, learner.device, 4)
    after = tensors(learner.network)
    stem = learner.network.segmenter.encoder.model.conv1  # type: ignore[union-attr]
    with torch.no_grad():
        halves = [
            stem[0]((to_tensor(half, learner.device).expand(-1, 3, -1, -1) - 0.5) / 0.5)
            for half in (images[::2], images[1::2])
        ]
    mean = torch.stack([half.mean((0, 2, 3)) for half in halves]).mean(0)
    variance = torch.stack([half.var((0, 2, 3)) for half in halves]).mean(0)
    name = "segmenter.encoder.model.conv1.1"
    assert torch.allclose(after[f"{name}.running_mean"], mean, atol=1e-5)
    assert torch.allclose(after[f"{name}.running_var"], variance, rtol=1e-3)
    moved = {key for key in before if not torch.equal(before[key], after[key])}
    assert all(key.rpartition(".")[2].startswith(("running_", "num_batches")) for key in moved), "no weight"
    assert not learner.network.training
    assert learner.network.segmenter.encoder.model.conv1[1].momentum == 0.1  # type: ignore[union-attr]


def test_a_batch_norm_behind_a_pooling_is_estimated_where_batches_have_one_image(make_learner: MakeLearner) -> None:
    """DeepLab's ASPP pools to one pixel, which in a batch of one has no variance to be measured."""
    import numpy as np
    import torch

    from engine.contract.models import SmpConfig
    from engine.training.average import estimate_batch_norm

    learner = make_learner(model=SmpConfig(arch="DeepLabV3", encoder="tu-test_resnet"))
    images = np.random.default_rng(0).integers(0, 256, (5, 32, 32), np.uint8)
    norms = {name: norm for name, norm in learner.network.named_modules() if isinstance(norm, torch.nn.BatchNorm2d)}
    estimate_batch_norm(learner.network, images, learner.device, 1)
    assert all(norm.num_batches_tracked == 2 for norm in norms.values()), "of two images, and of three"


def test_what_cannot_be_averaged_is_one_line(runs_copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = runs_copy / "dual"
    assert main(["average", "--run", str(run), "--output", str(runs_copy / "mean")]) == 2
    assert "has no checkpoints besides its best; train with training.keep_best: 3" in capsys.readouterr().err
    best = run / "checkpoints" / "best.pt"
    for epoch in (1, 2):
        (run / "checkpoints" / f"best_{epoch}.pt").write_bytes(best.read_bytes())
    assert main(["average", "--run", str(run), "--best", "3", "--output", str(runs_copy / "mean")]) == 2
    assert f"--best 3: {run} has only 2" in capsys.readouterr().err
    assert main(["average", "--run", str(run), "--output", str(runs_copy / "plain")]) == 2
    assert "not an empty folder; give another one" in capsys.readouterr().err
    assert not (runs_copy / "mean").exists()
