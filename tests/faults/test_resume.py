"""A training that is killed at any moment and resumed ends as one that was never interrupted: the same bits."""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from engine.contract.events import parse_events

from ..engine.conftest import TINY, arguments
from .conftest import Death, WarmEngine

LONG = bool(os.environ.get("XRAY_TUI_LONG"))
EPOCHS = 4
STEPS_PER_EPOCH = 3
RANDOM_KILLS, SEEDS = (12, range(3)) if LONG else (2, range(1))

PLACES: list[Death] = [
    ("writing config.yaml", 1, 0.0),
    ("a step", 1, 0.0),
    ("a step", 1, 0.02),
    ("a validation", 1, 0.0),
    ("between best.pt and last.pt", 1, 0.0),
    ("writing last.pt", 1, 0.0),
    ("writing best.pt", 1, 0.0),
    ("a step", STEPS_PER_EPOCH + 2, 0.01),
    ("writing last.pt", 2, 0.0),
    ("a validation", 1, 0.005),
    ("behind last.pt", 1, 0.0),
    ("the end", 1, 0.0),
]
"""One after the other, in one run; the calls count from where that start resumes."""


REMEMBERING = (
    "training.ema=0.9",
    "training.accumulate=2",
    "training.freeze_encoder_epochs=1.5",
    "training.keep_best=2",
    "training.early_stopping=3",
    "training.grad_clip=1",
    "training.schedule=poly",
)
"""All that carries something from step to step, or from epoch to epoch. An epoch's updates are of two steps and of one,
and the encoder wakes between the two of one."""


def training(project: Path, radiographs: Path, run: Path, workers: int, *more: str) -> list[str]:
    """The arguments of a training with augmentation and dropout; once its config is there, those that resume it."""
    if (run / "config.yaml").exists():
        return ["train", "--run", str(run), "--resume"]
    config = str(project / "configs" / "pretrained_dual_head.yaml")
    changes = (
        f"data.manifest={radiographs}",
        *TINY,
        f"training.epochs={EPOCHS}",
        f"training.samples_per_epoch={8 * STEPS_PER_EPOCH}",
        f"data.workers={workers}",
        *more,
    )
    return ["train", "--config", config, "--run", str(run), *arguments(*changes)]


def outcome(run: Path) -> dict[str, Any]:
    """What must be the same bit for bit: the weights of all checkpoints, and all that the epochs told."""
    import torch

    found: dict[str, Any] = {}
    for path in (run / "checkpoints").iterdir():
        saved = torch.load(path, weights_only=True)
        for part in ("network", "ema"):
            digest = hashlib.sha256()
            for key, tensor in sorted((saved.get(part) or {}).items()):
                digest.update(f"{key} {tensor.dtype} {tuple(tensor.shape)}".encode())
                digest.update(tensor.contiguous().numpy().tobytes())
            found[f"{path.name} {part}"] = digest.hexdigest()
    told = [event for event in parse_events((run / "events.jsonl").read_text()) if event["event"] == "epoch"]
    found["epochs"] = [[event[key] for key in ("epoch", "step", "loss", "lr", "val", "best")] for event in told]
    return found


def lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def leftovers(run: Path) -> list[str]:
    return sorted(path.name for path in run.rglob(".*"))


@dataclass(frozen=True)
class Reference:
    """A training that nobody interrupted."""

    outcome: dict[str, Any]
    seconds: float


@pytest.fixture(scope="module")
def reference(
    warm_engine: WarmEngine, project: Path, radiographs: Path, tmp_path_factory: pytest.TempPathFactory
) -> Reference:
    run = tmp_path_factory.mktemp("whole") / "run"
    warm_engine.start(training(project, radiographs, run, 0))
    began = time.monotonic()
    assert warm_engine.end() == 0, warm_engine.said()
    return Reference(outcome(run), time.monotonic() - began)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_training_that_dies_at_each_delicate_place_ends_with_the_same_bits(
    workers: int, warm_engine: WarmEngine, reference: Reference, project: Path, radiographs: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    for place in PLACES if workers == 0 or LONG else PLACES[-4:]:
        status = warm_engine.run(training(project, radiographs, run, workers), place)
        assert status == -signal.SIGKILL, (place, warm_engine.said())
    assert warm_engine.run(training(project, radiographs, run, workers)) == 0, warm_engine.said()
    assert outcome(run) == reference.outcome
    assert leftovers(run) == []


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("workers", [0, 2])
def test_a_training_that_is_killed_at_random_moments_ends_with_the_same_bits(
    workers: int,
    seed: int,
    warm_engine: WarmEngine,
    reference: Reference,
    project: Path,
    radiographs: Path,
    tmp_path: Path,
) -> None:
    run, moments = tmp_path / "run", random.Random(1000 * workers + seed)
    for _ in range(RANDOM_KILLS):
        pid = warm_engine.start(training(project, radiographs, run, workers))
        time.sleep(moments.uniform(0, reference.seconds))
        with contextlib.suppress(ProcessLookupError):  # it was done before
            os.kill(pid, signal.SIGKILL)
        assert warm_engine.end() in (0, -signal.SIGKILL), warm_engine.said()
    assert warm_engine.run(training(project, radiographs, run, workers)) == 0, warm_engine.said()
    assert outcome(run) == reference.outcome
    assert leftovers(run) == []


def test_one_with_everything_that_remembers_ends_with_the_same_bits(
    warm_engine: WarmEngine, project: Path, radiographs: Path, tmp_path: Path
) -> None:
    whole, run = tmp_path / "whole", tmp_path / "run"
    assert warm_engine.run(training(project, radiographs, whole, 0, *REMEMBERING)) == 0, warm_engine.said()
    places: list[Death] = [("a step", 2, 0.0), ("between best.pt and last.pt", 1, 0.0), ("a step", 6, 0.0)]
    for place in places:
        status = warm_engine.run(training(project, radiographs, run, 0, *REMEMBERING), place)
        assert status == -signal.SIGKILL, (place, warm_engine.said())
    starts = (run / "events.jsonl").read_text().count('"start"')
    pid, deadline = warm_engine.start(training(project, radiographs, run, 0)), time.monotonic() + 90
    while (run / "events.jsonl").read_text().count('"start"') <= starts:
        assert time.monotonic() < deadline, warm_engine.said()
        time.sleep(0.002)
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)  # between two steps of one update it waits for the second
    assert warm_engine.end() in (0, 3), warm_engine.said()
    assert warm_engine.run(training(project, radiographs, run, 0)) == 0, warm_engine.said()
    assert outcome(run) == outcome(whole)
    assert len(outcome(run)) == 2 * 4 + 1, "last.pt, best.pt, and the best two"
    assert leftovers(run) == []


def test_a_checkpoint_that_was_being_written_is_never_taken(
    warm_engine: WarmEngine, project: Path, radiographs: Path, tmp_path: Path
) -> None:
    import torch

    run = tmp_path / "run"
    assert warm_engine.run(training(project, radiographs, run, 0), ("writing last.pt", 2, 0.0)) == -signal.SIGKILL
    (half,) = (run / "checkpoints").glob(".last.pt.*.tmp")
    last = run / "checkpoints" / "last.pt"
    assert half.stat().st_size < last.stat().st_size
    assert torch.load(last, weights_only=True)["state"]["step"] == STEPS_PER_EPOCH
    assert warm_engine.run(training(project, radiographs, run, 0)) == 0
    assert any(line.endswith(f"resumed at step {STEPS_PER_EPOCH}") for line in warm_engine.said())
    assert not half.exists()


def test_loaders_are_gone_with_the_engine_that_was_killed(
    warm_engine: WarmEngine, project: Path, radiographs: Path, tmp_path: Path
) -> None:
    """They would hold the run folder: a resume right behind the kill would be refused."""
    run = tmp_path / "run"
    group = warm_engine.start(training(project, radiographs, run, 2), ("a step", 2, 0.0))
    assert warm_engine.end() == -signal.SIGKILL, warm_engine.said()
    deadline = time.monotonic() + 30
    while lives(group) and time.monotonic() < deadline:
        time.sleep(0.01)
    with pytest.raises(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)
