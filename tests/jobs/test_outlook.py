"""What is said before a launch, from real folders and the jobs that ran."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import calls_of
from xray_tui.gpu.snapshot import GpuSample, GpuSnapshot
from xray_tui.jobs.model.job import Job, JobSpec, State, write_job
from xray_tui.jobs.preflight import estimate
from xray_tui.jobs.preflight.estimate import PastJobs
from xray_tui.jobs.preflight.preflight import Outlook, look_ahead
from xray_tui.system import process

from .test_checks import make_set

GIB = 1 << 30
HOUR = 3600.0


class Desk:
    """A working folder with a recipe, data, and jobs that are only written down."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.runs = folder / "runs"
        self.manifest = make_set(folder / "data", 6)
        self.recipe("unet")
        self.have(2)
        self.number = 0

    def have(self, gpus: int) -> None:
        samples = [
            GpuSample(at, f"GPU-{at}", "H", memory_total=80 * GIB, memory_used=0, processes=()) for at in range(gpus)
        ]
        self.snapshot = GpuSnapshot(tuple(samples), problem=None if gpus else "No NVIDIA GPU here.")

    def recipe(self, name: str, **training: Any) -> Path:
        path = self.folder / "configs" / f"{name}.yaml"
        path.parent.mkdir(exist_ok=True)
        values = {"data": {"manifest": "../data/manifest.csv"}, "training": {"epochs": 10, **training}}
        path.write_text(yaml.safe_dump(values))
        return path

    def training(self, run: str, recipe: str = "unet", **changes: Any) -> JobSpec:
        argv = ("train", "--config", f"configs/{recipe}.yaml", "--run", f"runs/{run}")
        return replace(JobSpec("train", run, argv), **changes)

    def job(self, spec: JobSpec, state: State, **changes: Any) -> Job:
        """Write a job down; a training that succeeded has left its run."""
        self.number += 1
        job = Job(f"job-{self.number}", spec, state, host=process.host(), cwd=str(self.folder), **changes)
        job = replace(job, created=float(self.number), ticket=f"50.{self.number:012d}.{job.id}")
        folder = self.runs / ".jobs" / job.id
        folder.mkdir(parents=True)
        write_job(folder, job)
        return job

    def trained(self, run: str, hours: float, recipe: str = "unet") -> Job:
        from engine.contract.load import load_config, save_config

        folder = self.runs / run
        (folder / "checkpoints").mkdir(parents=True)
        (folder / "checkpoints" / "best.pt").write_bytes(b"x" * 4096)
        save_config(load_config(self.folder / "configs" / f"{recipe}.yaml"), folder / "config.yaml")
        times: dict[str, Any] = {"started": 1000.0, "ended": 1000.0 + hours * HOUR}
        memory: dict[str, Any] = {"peak_gpu_memory": 9 * GIB, "gpus": ("GPU-0",)}
        return self.job(self.training(run, recipe), State.SUCCEEDED, **times, **memory)

    def look(self, *specs: JobSpec, then_evaluate: bool = False) -> Outlook:
        return look_ahead(specs, PastJobs(self.runs), self.snapshot, then_evaluate=then_evaluate)


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.chdir(tmp_path)
    return Desk(tmp_path)


def test_the_first_training_has_checks_and_no_guess(desk: Desk) -> None:
    found = desk.look(desk.training("a"))
    assert [line.partition(":")[0] for line in found.lines] == ["✓ data", "✓ disk"]
    assert (found.is_bad, found.estimates) == (False, ())


def test_similar_runs_say_what_a_training_takes(desk: Desk) -> None:
    desk.trained("one", 1.0)
    desk.trained("two", 1.5)
    found = desk.look(desk.training("a"))
    (takes,) = found.forecast
    assert takes == "train takes 1h00m to 1h30m, 9.0 GiB GPU, from 2 similar runs"
    assert any(
        line.startswith("✓ GPU memory: similar runs took up to 9.0 GiB, available: 80.0 GiB") for line in found.lines
    )
    assert any("similar runs needed" in line for line in found.lines)


def test_an_evaluation_behind_its_training_is_like_those_of_similar_runs(desk: Desk) -> None:
    desk.trained("one", 1.0)
    evaluation = JobSpec("evaluate", "one", ("evaluate", "--run", "runs/one", "--tta", "h", "--threshold", "tuned"))
    desk.job(evaluation, State.SUCCEEDED, started=1000.0, ended=1600.0, gpus=("GPU-0",))
    found = desk.look(desk.training("a"), then_evaluate=True)
    assert not any("checkpoint" in line for line in found.lines), "its training is launched with it"
    assert not found.is_bad
    assert "✓ TTA h" in found.lines, "auto is the flips of the training"
    assert found.forecast[1:] == ["evaluate takes about 10m00s, from 1 similar run"]


def test_an_evaluation_may_come_after_a_training_that_runs(desk: Desk) -> None:
    running = desk.job(desk.training("r"), State.RUNNING, gpus=("GPU-0",), started=time.time())
    evaluation = JobSpec("evaluate", "r", ("evaluate", "--run", "runs/r"))
    assert desk.look(evaluation).is_bad
    found = desk.look(replace(evaluation, after=(running.id,)))
    assert "✓ checkpoint: r/checkpoints/best.pt comes from train r, which is running" in found.lines
    assert not found.is_bad


def test_a_gpu_that_is_too_small_for_similar_runs_is_said(desk: Desk) -> None:
    desk.trained("one", 1.0)
    small = replace(desk.snapshot.gpus[0], memory_total=8 * GIB)
    desk.snapshot = replace(desk.snapshot, gpus=(small,))
    lines = desk.look(desk.training("a")).lines
    assert "! GPU memory: similar runs took up to 9.0 GiB, available: 8.0 GiB" in lines


def test_a_job_of_several_gpus_counts_as_many(desk: Desk) -> None:
    desk.trained("one", 1.0)
    desk.have(3)
    two = desk.training("a", gpu_count=2)
    found = desk.look(two)
    assert found.estimates == (), "what one GPU took says nothing of two"
    past = {"started": 1000.0, "ended": 1000.0 + HOUR, "peak_gpu_memory": 60 * GIB, "gpus": ("GPU-0", "GPU-1")}
    desk.job(desk.training("one", gpu_count=2), State.SUCCEEDED, **past)
    found = desk.look(two)
    assert found.forecast[0] == "train takes about 1h00m, 60.0 GiB on each of 2 GPUs, from 1 similar run"
    assert "✓ GPU memory: similar runs took up to 60.0 GiB, available: 80.0 GiB on each of 2 GPUs" in found.lines
    assert desk.look(desk.training("a")).estimates == (), "what two took says nothing of one"
    large, small = (GpuSample(at, f"GPU-{at}", "H", memory_total=size * GIB) for at, size in enumerate((80, 40)))
    desk.snapshot = GpuSnapshot((large, replace(small, memory_used=0, utilisation=0, processes=())))
    assert any("took up to 60.0 GiB, available: 40.0 GiB" in line for line in desk.look(two).lines)


def test_a_resumed_training_tells_no_time(desk: Desk) -> None:
    job = desk.trained("one", 1.0)
    write_job(desk.runs / ".jobs" / job.id, replace(job, attempt=2))
    (takes,) = desk.look(desk.training("a")).forecast
    assert takes == "train takes 9.0 GiB GPU, from 1 similar run"


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (
            {"request": ("train", "--config", "configs/none.yaml")},
            "✗ config: configs/none.yaml: No such file or directory",
        ),
        ({"request": ("train",)}, "✗ config: train: no recipe; give --config FILE"),
        (
            {"request": ("train", "--config", "configs/unet.yaml", "--set", "training.epochs=0")},
            "✗ config: configs/unet.yaml: training.epochs: 0: Input should be greater than or equal to 1 "
            "(passes over the images)",
        ),
    ],
)
def test_a_config_that_is_no_good_is_bad(desk: Desk, change: dict[str, Any], line: str) -> None:
    found = desk.look(desk.training("a", **change))
    assert line in found.lines
    assert found.is_bad


def aged(path: Path, text: str, seconds: int = 3600) -> None:
    """Write the file, as if that had been this long ago."""
    path.write_text(text)
    then = time.time_ns() // 10**9 - seconds
    os.utime(path, (then, then))


@pytest.mark.parametrize("other_seconds", [3600, 1800], ids=["of the same time and size", "of another time"])
def test_a_config_is_read_again_when_only_its_base_has_changed(desk: Desk, other_seconds: int) -> None:
    base = desk.folder / "configs" / "_base.yaml"
    aged(desk.folder / "configs" / "unet.yaml", "base: _base.yaml\ndata: {manifest: ../data/manifest.csv}\n")
    aged(base, "training: {epochs: 10}\n")
    assert not desk.look(desk.training("a")).is_bad
    aged(base, "training: {epochs: -1}\n", other_seconds)
    assert desk.look(desk.training("a")).is_bad
    aged(base, "training: {epochs: 12}\n")
    assert not desk.look(desk.training("a")).is_bad


def test_a_config_that_changes_twice_within_a_tick_of_the_clock_is_read_twice(desk: Desk) -> None:
    recipe = desk.folder / "configs" / "unet.yaml"
    for epochs in ("10", "-1", "12", "-2"):
        recipe.write_text(f"data: {{manifest: ../data/manifest.csv}}\ntraining: {{epochs: {epochs}}}\n")
        assert desk.look(desk.training("a")).is_bad == epochs.startswith("-")


def test_a_manifest_counts_where_it_lies_now(desk: Desk) -> None:
    recipe = desk.folder / "configs" / "unet.yaml"
    aged(recipe, "data: {manifest: data/manifest.csv}\n")
    assert not desk.look(desk.training("a")).is_bad
    (desk.folder / "configs" / "data").mkdir()
    (desk.folder / "configs" / "data" / "manifest.csv").write_text("id\n")
    assert desk.look(desk.training("a")).is_bad, "the one beside the recipe comes first"


def test_repeated_looks_read_past_runs_again_only_when_another_job_has_succeeded(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.trained("one", 1.0)
    known = PastJobs(desk.runs)
    reads = calls_of(monkeypatch, estimate, "resolve_past")
    look_ahead([desk.training("a")], known, desk.snapshot)
    assert len(reads) == 1
    desk.job(desk.training("waits"), State.QUEUED)
    look_ahead([desk.training("a")], known, desk.snapshot)
    assert len(reads) == 1
    desk.trained("two", 2.0)
    (takes,) = look_ahead([desk.training("a")], known, desk.snapshot).forecast
    assert takes.endswith("from 2 similar runs")
