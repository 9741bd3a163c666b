"""Jobs of the real engine run what was frozen at their launch: the copy, the config of then, the commit in view."""

from __future__ import annotations

from pathlib import Path

import pytest

from xray_tui.jobs.actions import queue_actions
from xray_tui.jobs.launch.freeze import engines_folder
from xray_tui.jobs.launch.launcher import LocalLauncher
from xray_tui.jobs.model.job import JobSpec, State

from .conftest import Place


def test_a_config_that_is_edited_while_its_job_waits_changes_nothing(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place.folder)
    config = place.folder / "unet.yaml"
    config.write_text("data: {manifest: gone.csv}\n")
    launcher = LocalLauncher(place.runs, str(place.leases), lambda: place.snapshot, supervisor=place.supervisor)
    argv = ("train", "--config", "unet.yaml", "--run", "runs/a")
    job = launcher.launch(JobSpec("train", "a", argv, "none"), hold=True)
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
    job = launcher.launch(JobSpec("evaluate", "a", ("evaluate", "--run", "runs/a"), "none"), hold=True)
    copy = Path(job.engine[-1]).parent
    (copy / "engine/cli.py").unlink()
    queue_actions.release(place.store, job.id)
    assert (place.until(job).cause or "").endswith("is not what was copied there; launch the job again")
