"""Seeds, sweeps and the evaluations behind them."""

from __future__ import annotations

import os
import signal
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from engine.contract.errors import BadInput
from xray_tui.jobs.launch.sweep import evaluation_of, parse_seeds, parse_sweep, trainings
from xray_tui.jobs.locks import file_lock
from xray_tui.jobs.locks.lock_dir import LockDir
from xray_tui.jobs.model.job import Job, JobSpec, State, write_job
from xray_tui.jobs.model.request import BlendRequest, EvaluateRequest, TrainRequest

from .conftest import HERE, Place, eventually, is_alive

SPEC = JobSpec("train", "unet", TrainRequest(config="c.yaml", runs="runs"), "none")


def test_each_seed_has_a_run_of_its_own_in_one_folder() -> None:
    first, second = trainings(SPEC, (42, 1337), {})
    assert (first.run, second.run) == ("unet_seeds/seed_42", "unet_seeds/seed_1337")
    assert first.argv == (
        "train", "--config", "c.yaml", "--run", "runs/unet_seeds/seed_42", "--set", "seed=42",
    )  # fmt: skip


def test_a_sweep_has_a_run_for_every_combination() -> None:
    found = trainings(SPEC, (), {"training.lr": ("1e-3", "3e-4"), "data.image_size": ("256",)})
    assert [each.run for each in found] == ["unet_sweep/lr_1e-3_image_size_256", "unet_sweep/lr_3e-4_image_size_256"]
    assert found[1].argv[-4:] == ("--set", "training.lr=3e-4", "--set", "data.image_size=256")


def test_seeds_and_a_sweep_make_a_seed_group_of_every_combination() -> None:
    found = trainings(SPEC, (1, 2), {"training.lr": ("1e-3", "3e-4")})
    assert [each.run for each in found][:3] == [
        "unet_sweep/lr_1e-3_seeds/seed_1", "unet_sweep/lr_1e-3_seeds/seed_2", "unet_sweep/lr_3e-4_seeds/seed_1",
    ]  # fmt: skip


def test_neither_is_the_training_itself() -> None:
    assert trainings(SPEC, (), {}) == [SPEC]


@pytest.mark.parametrize(
    ("seeds", "words"), [("", "whole numbers"), ("a,b", "whole numbers"), ("1,1", "twice"), ("-1", "whole numbers")]
)
def test_what_are_no_seeds_is_refused(seeds: str, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        parse_seeds(seeds)


@pytest.mark.parametrize(
    ("texts", "words"),
    [(["training.lr"], "give a field with values"), (["training.lr="], "give a field with values"),
     (["x=1,1"], "twice"), (["a=1", "a=2"], "twice")],
)  # fmt: skip
def test_what_is_no_small_sweep_is_refused(texts: list[str], words: str) -> None:
    with pytest.raises(BadInput, match=words):
        parse_sweep(texts)


def test_too_many_trainings_and_equal_names_are_refused() -> None:
    with pytest.raises(BadInput, match="would be 80 trainings"):
        trainings(SPEC, range(40), {"training.lr": ("1", "2")})
    with pytest.raises(BadInput, match="the same run name"):
        trainings(SPEC, (), {"model.encoder": ("a/b", "a-b")})
    with pytest.raises(BadInput, match="only a training"):
        trainings(JobSpec("blend", "b", BlendRequest(runs="runs")), (1,), {})


def test_the_evaluation_comes_after_its_training_on_as_much_machine() -> None:
    job = Job("j1", JobSpec("train", "seeds/seed_42", (), "none", priority=20), State.QUEUED)
    assert evaluation_of(job, Path("runs")) == JobSpec(
        "evaluate", "seeds/seed_42", EvaluateRequest(runs="runs", tta="auto", threshold="tuned"),
        "none", after=("j1",), priority=20,
    )  # fmt: skip


def test_all_are_launched_each_with_its_evaluation_behind_it(place: Place) -> None:
    spec = JobSpec("train", "a", TrainRequest(runs="runs"), "none")
    jobs = place.launcher().launch_all(trainings(spec, (1, 2), {}), evaluate=True)
    assert [job.spec.kind for job in jobs] == ["train", "evaluate"] * 2
    eventually(lambda: all(place.job(job).state is State.BLOCKED for job in jobs[1::2]), "blocked evaluations")


def test_none_is_launched_where_one_cannot_be(place: Place) -> None:
    (place.runs / "a_seeds" / "seed_2").mkdir(parents=True)
    (place.runs / "a_seeds" / "seed_2" / "x").touch()
    spec = JobSpec("train", "a", TrainRequest(runs="runs"), "none")
    with pytest.raises(BadInput, match="not empty"):
        place.launcher().launch_all(trainings(spec, (1, 2), {}), evaluate=True)
    assert place.store.jobs() == []


def test_none_is_launched_where_the_disk_fills_up_in_between(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[Path] = []

    def write(folder: Path, job: Job) -> None:
        written.append(folder)
        if len(written) == 3:
            raise OSError(28, "No space left on device", str(folder))
        write_job(folder, job)

    monkeypatch.setattr("xray_tui.jobs.launch.launcher.write_job", write)
    with pytest.raises(BadInput, match="No space left on device"):
        place.launcher().launch_all([JobSpec("evaluate", name, ("succeed",), "none") for name in "abcd"])
    assert place.store.jobs() == []
    assert list((place.leases / "queue").iterdir()) == []
    assert not any(file_lock.is_held(LockDir(place.leases).supervised(folder.name)) for folder in written)


def test_each_job_of_a_batch_has_a_supervisor_of_its_own(place: Place) -> None:
    go = place.folder / "go"
    specs = [JobSpec("evaluate", name, ("until", str(go)), "none") for name in "abc"]
    jobs = place.launcher(cpu_slots=3).launch_all(specs)
    for job in jobs:
        place.until_working(job)
    supervisors = [place.job(job).supervisor for job in jobs]
    assert len({supervisor.pid for supervisor in supervisors if supervisor}) == 3
    place.kill_supervisor(jobs[0])
    assert not file_lock.is_held(LockDir(place.leases).supervised(jobs[0].id)), "no other holds its lock"
    assert all(file_lock.is_held(LockDir(place.leases).supervised(job.id)) for job in jobs[1:])
    place.look()
    go.touch()
    assert [place.until(job).state for job in jobs] == [State.SUCCEEDED] * 3
    eventually(lambda: not any(is_alive(each.pid) for each in supervisors if each), "the supervisors' ends")


def test_a_waiting_supervisor_has_loaded_neither_pydantic_nor_what_reads_a_request(place: Place) -> None:
    told = place.folder / "modules"
    launcher = replace(place.launcher(), supervisor=(sys.executable, "-P", str(HERE / "telling.py"), str(told)))
    jobs = launcher.launch_all([JobSpec("evaluate", name, ("succeed",), "none") for name in "ab"], hold=True)
    supervisor = place.until_supervised(jobs[1])
    os.kill(supervisor.pid, signal.SIGUSR1)
    eventually(told.exists, "the modules of a supervisor")
    modules = told.read_text().split()
    assert "xray_tui.jobs.supervise.supervisor" in modules
    heavy = {
        "pydantic",
        "yaml",
        "textual",
        "psutil",
        "pynvml",
        "asyncio",
        "argparse",
        "hashlib",
        "xray_tui.jobs.model.request",
    }
    assert not heavy.intersection(modules)
