"""Jobs of the real engine run what was frozen at their launch: the copy, the config of then, the commit in view."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.contract.load import load_config
from xray_tui.jobs.actions import queue_actions
from xray_tui.jobs.launch import freeze
from xray_tui.jobs.launch.freeze import engines_folder
from xray_tui.jobs.launch.frozen_engine import read_tree
from xray_tui.jobs.launch.launcher import LocalLauncher
from xray_tui.jobs.launch.sweep import trainings
from xray_tui.jobs.model.job import JobSpec, State
from xray_tui.jobs.model.request import EvaluateRequest, TrainRequest

from .conftest import Place


def test_a_config_that_is_edited_while_its_job_waits_changes_nothing(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place.folder)
    config = place.folder / "unet.yaml"
    config.write_text("data: {manifest: gone.csv}\n")
    launcher = LocalLauncher(place.runs, str(place.leases), lambda: place.snapshot, supervisor=place.supervisor)
    job = launcher.launch(JobSpec("train", "a", TrainRequest(config="unet.yaml", runs="runs"), "none"), hold=True)
    assert job.spec.argv == ("train", "--config", str(place.store.folder(job.id) / "unet.yaml"), "--run", "runs/a")
    assert job.source is not None
    copy = engines_folder(place.runs / ".jobs") / job.source.sha256
    assert job.engine[-1] == str(copy / "run.py")
    assert place.job(job).source == job.source
    config.write_text("data: {manifest: edited.csv}\n")
    queue_actions.release(place.store, job.id)
    ended = place.until(job)
    assert ended.state is State.FAILED
    assert f"{Path('gone.csv').absolute()}: No such file" in (ended.cause or "")


def test_a_damaged_copy_ends_its_job_with_a_cause(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place.folder)
    launcher = LocalLauncher(place.runs, str(place.leases), lambda: place.snapshot, supervisor=place.supervisor)
    job = launcher.launch(
        JobSpec("evaluate", "a", EvaluateRequest(runs="runs", tta="hv", threshold="tuned"), "none"), hold=True
    )
    copy = Path(job.engine[-1]).parent
    (copy / "engine/cli.py").unlink()
    queue_actions.release(place.store, job.id)
    assert (place.until(job).cause or "").endswith("changed since it was copied; launch the job again")


def test_a_batch_hashes_and_copies_the_engine_once(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place.folder)
    (place.folder / "unet.yaml").write_text("seed: 1\n")
    launcher = LocalLauncher(place.runs, str(place.leases), lambda: place.snapshot, supervisor=place.supervisor)
    spec = JobSpec("train", "a", TrainRequest(config="unet.yaml", runs="runs"), "none")
    read: list[Path] = []
    monkeypatch.setattr(freeze, "read_tree", lambda folder: read.append(folder) or read_tree(folder))
    jobs = launcher.launch_all(trainings(spec, range(3), {}), hold=True)
    once = len(read)
    assert 0 < once <= 2, "two readings that agree, as an editor may be at work"
    assert len({job.engine for job in jobs}) == 1
    assert [load_config(Path(job.spec.argv[2])).seed for job in jobs] == [0, 1, 2]
