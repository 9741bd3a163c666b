"""A tiny synthetic set and two runs trained on it, shared by the engine's tests."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import setproctitle

from engine.contract.events import parse_events

os.environ["HF_HUB_OFFLINE"] = "1"  # before the hub's client is imported: no test waits for a network

TINY = [
    "data.image_size=64",
    "training.batch_size=8",
    "training.epochs=2",
    "model.encoder=tu-test_resnet",  # 0.2 M parameters: timm has it for tests
    "model.encoder_weights=",
    "model.decoder_channels=[32,16,8,8]",
    "training.samples_per_epoch=",
    "training.ema=",
    "training.warmup_epochs=0.5",
]

TINY_CLASSIFIER = [
    "data.image_size=64",
    "training.batch_size=8",
    "training.epochs=2",
    "model.encoder=test_resnet",
    "training.precision=fp32",
    "training.warmup_epochs=0.5",
]


def arguments(*pairs: str) -> list[str]:
    """`--set` for each pair."""
    return [word for pair in pairs for word in ("--set", pair)]


def wait_for_start(run: Path, process: subprocess.Popen[str]) -> None:
    """Wait until the training has written its start event. From then on a stop saves a checkpoint."""
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline and process.poll() is None:
        text = (run / "events.jsonl").read_text() if (run / "events.jsonl").exists() else ""
        if "start" in [event["event"] for event in parse_events(text)]:
            return
        time.sleep(0.02)
    raise AssertionError("the training did not start")


@pytest.fixture
def job_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The job folder of the engines that run in this process; the title that they give it is taken back."""
    monkeypatch.setenv("SPT_NOENV", "1")  # as the engine itself does before the first use
    before = setproctitle.getproctitle()
    folder = tmp_path / "job"
    folder.mkdir()
    monkeypatch.setenv("XRAY_JOB_DIR", str(folder))
    yield folder
    setproctitle.setproctitle(before)


@pytest.fixture(scope="session")
def engine_extra() -> None:
    """Skips where the engine's extra is not installed."""
    pytest.importorskip("torch")
    pytest.importorskip("segmentation_models_pytorch")


@pytest.fixture(scope="session")
def synthetic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The manifest of 60 synthetic radiographs of 64 pixels."""
    from engine.data.synthetic import make_synthetic

    return make_synthetic(tmp_path_factory.mktemp("synthetic"), 60, 64, 7)


@pytest.fixture(scope="session")
def trained(engine_extra: None, synthetic: Path, project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A runs folder with `plain` and `dual`, each trained for two epochs. Not to be changed: see `runs_copy`."""
    from engine.cli import main

    runs = tmp_path_factory.mktemp("trained") / "runs"
    config = project / "configs" / "pretrained_dual_head.yaml"
    without = ("model.classification_head=", "loss.presence=0", "training.selection_metric=dice_pos")
    for name, changes in (("plain", without), ("dual", ())):
        given = arguments(f"data.manifest={synthetic}", *TINY, *changes)
        assert main(["train", "--config", str(config), "--run", str(runs / name), *given]) == 0
    return runs


@pytest.fixture(scope="session")
def classifier(engine_extra: None, synthetic: Path, project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder of a classifier that was trained for two epochs. Not to be changed: see `with_classifier`."""
    from engine.cli import main

    run = tmp_path_factory.mktemp("classifier") / "runs" / "classifier"
    config = str(project / "configs" / "presence_classifier.yaml")
    given = arguments(f"data.manifest={synthetic}", *TINY_CLASSIFIER)
    assert main(["train", "--config", config, "--run", str(run), *given]) == 0
    return run


@pytest.fixture
def with_classifier(runs_copy: Path, classifier: Path, synthetic: Path) -> Path:
    """`runs_copy` and the classifier beside `plain` and `dual`."""
    shutil.copytree(classifier, runs_copy / "classifier")
    _reach(synthetic, runs_copy / "classifier" / "config.yaml")
    return runs_copy


@pytest.fixture
def runs_copy(trained: Path, tmp_path: Path, synthetic: Path) -> Path:
    """The trained runs in a folder of the test's own; their manifest is reached by its absolute place."""
    copy = tmp_path / "runs"
    shutil.copytree(trained, copy)
    for config in copy.glob("*/config.yaml"):
        _reach(synthetic, config)
    return copy


def _reach(manifest: Path, config: Path) -> None:
    lines = config.read_text().splitlines()
    lines = [f"  manifest: {manifest}" if line.startswith("  manifest:") else line for line in lines]
    config.write_text("\n".join(lines) + "\n")
