"""The former commit and this one on one server: one lock folder, one queue, and each reads the other's jobs."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from xray_tui.jobs.actions.stop import stop
from xray_tui.jobs.locks.lock_dir import LOCK_DIR_ENV
from xray_tui.jobs.model.job import Job, JobSpec, State
from xray_tui.jobs.supervise.recovery import recover_orphans

from .conftest import Place, gpu

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def former_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The app and the helpers of its tests as they were one commit ago."""
    command = ["git", "-C", str(ROOT), "archive", "HEAD^", "xray_tui", "engine", "tests"]
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode != 0:
        pytest.skip("no git history here")
    folder = tmp_path_factory.mktemp("former")
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        archive.extractall(folder, filter="data")
    return folder


@dataclass
class Former:
    """Somebody who has not updated."""

    tree: Path
    place: Place
    process: subprocess.Popen[str]

    def launch(self, name: str, *argv: object, gpu: str = "auto") -> Job:
        wanted = {"runs": str(self.place.runs), "leases": str(self.place.leases), "gpu": gpu, "run": name,
                  "argv": [str(word) for word in argv], "priority": 50}  # fmt: skip
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(json.dumps(wanted), file=self.process.stdin, flush=True)
        answer = json.loads(self.process.stdout.readline())
        assert "job" in answer, answer
        return self.place.store.get(answer["job"])

    def command(self, *words: str) -> str:
        command = [sys.executable, "-m", "xray_tui.cli.main", *words, "--runs", str(self.place.runs)]
        environment = {**os.environ, "PYTHONPATH": str(self.tree), LOCK_DIR_ENV: str(self.place.leases)}
        done = subprocess.run(command, cwd=self.tree, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture
def former(former_tree: Path, place: Place) -> Iterator[Former]:
    command = [sys.executable, str(former_tree / "tests/jobs/at_work.py"), str(place.gpus)]
    environment = {**os.environ, "PYTHONPATH": str(former_tree)}
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline()) == "here"
        yield Former(former_tree, place, process)
        process.kill()


OWN_CODE = ("env", "-u", "PYTHONPATH")
"""A job keeps the environment of its launch, which may lead to the former version here."""


def test_two_versions_serve_one_queue_and_never_share_a_gpu(former: Former, place: Place) -> None:
    place.have(gpu(0))
    (place.folder / "marks").mkdir()
    turns = []
    for number in range(3):
        alone = ("exclusively", place.folder / "marks")
        turns += [former.launch(f"old{number}", *alone), place.launch(*alone, gpu="auto", run=f"new{number}")]
    ended = [place.until(job) for job in turns]
    assert [job.state for job in ended] == [State.SUCCEEDED] * 6
    starts = [job.started or 0.0 for job in ended]
    assert starts == sorted(starts)


def test_each_version_waits_for_the_other_lists_its_jobs_and_stops_them(former: Former, place: Place) -> None:
    place.have(gpu(0))
    old = former.launch("old", "until", place.folder / "never")
    place.until_working(old)
    new = place.launch("until", place.folder / "never", gpu="auto", run="new")
    place.until_waiting(new, "GPU 0 is used by a job")
    listed = {job["run"]: job["state"] for job in json.loads(former.command("jobs", "--json"))}
    assert listed == {"old": "running", "new": "queued"}
    stop(place.store, old.id)
    assert place.until(old).state is State.STOPPED
    place.until_working(new)
    late = former.launch("late", "succeed")
    place.until_waiting(late, "GPU 0 is used by a job")
    former.command("stop", new.id)
    assert place.until(new).state is State.STOPPED
    assert place.until(late).state is State.SUCCEEDED


def test_a_job_that_waits_while_the_program_is_updated_is_taken_over(former: Former, place: Place) -> None:
    busy = [place.launch("until", place.folder / "go", run=run) for run in ("b1", "b2")]  # both places on the CPU
    for job in busy:
        place.until_working(job)
    waits = former.launch("a", "succeed", gpu="none")
    place.until_waiting(waits, "2 jobs run on the CPU already")
    place.kill_supervisor(waits)
    recover_orphans(place.store, (*OWN_CODE, *place.supervisor))
    place.until_supervised(waits)
    (place.folder / "go").touch()
    assert place.until(waits).state is State.SUCCEEDED


def test_a_job_of_this_version_is_taken_over_by_the_former_one(
    former: Former, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An app of the former version still runs, or the update was taken back."""
    busy = [place.launch("until", place.folder / "go", run=run) for run in ("b1", "b2")]
    for job in busy:
        place.until_working(job)
    monkeypatch.setenv("PYTHONPATH", str(former.tree))
    launcher = replace(place.launcher(), supervisor=(*OWN_CODE, *place.supervisor))
    waits = launcher.launch(JobSpec("evaluate", "a", ("succeed",), "none"))
    place.until_waiting(waits, "2 jobs run on the CPU already")
    place.kill_supervisor(waits)
    assert "queued" in former.command("jobs")
    place.until_supervised(waits)
    (place.folder / "go").touch()
    assert place.until(waits).state is State.SUCCEEDED
