"""Copies of the engine go when nobody can run them any more, and no sooner."""

from __future__ import annotations

import os
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from xray_tui.jobs.launch.freeze import AGE, EngineCopy, may_run, remove_old
from xray_tui.jobs.launch.frozen_engine import flaw
from xray_tui.jobs.model.job import Job, JobSpec, State, write_job

from .test_freeze import Project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def copy_of(frozen: EngineCopy, age: float = AGE + 3600) -> Path:
    """The folder of the copy, as if it was chosen so long ago."""
    place = Path(frozen.command[-1]).parent
    then = place.stat().st_mtime - age
    os.utime(place, (then, then))
    return place


def job(
    project: Project, frozen: EngineCopy, name: str = "j1", state: State = State.QUEUED, kind: str = "train"
) -> Job:
    folder = project.jobs / name
    folder.mkdir(exist_ok=True)
    made = Job(name, JobSpec(kind, name, ()), state, source=frozen.source)
    write_job(folder, made)
    return made


def test_a_copy_that_no_job_needs_goes_when_a_new_one_is_made(project: Project) -> None:
    first = project.freeze()
    job(project, first, state=State.SUCCEEDED)
    old = copy_of(first)
    project.freeze()
    assert project.copies() == [old], "the same code: no new copy, and the old one is chosen again"
    copy_of(first)
    project.say("edited")
    new = Path(project.freeze().command[-1]).parent
    assert project.copies() == [new]


def test_a_copy_stays_as_long_as_a_job_waits_runs_or_could_be_resumed(project: Project) -> None:
    for state in (State.HELD, State.RUNNING, State.STOPPED, State.FAILED, State.LOST):
        project.say(f"for a {state} training")
        frozen = project.freeze()
        job(project, frozen, f"j-{state}", state)
        copy_of(frozen)
    project.say("new")
    project.freeze()
    assert len(project.copies()) == 6


def test_what_may_run_again_is_what_resume_and_revive_take() -> None:
    training = Job("t", JobSpec("train", "a", ()), State.RUNNING)
    evaluation = replace(training, spec=JobSpec("evaluate", "a", ()))
    assert may_run(training)
    assert may_run(replace(training, state=State.LOST, started=1.0))
    assert not may_run(replace(training, state=State.SUCCEEDED))
    assert may_run(replace(evaluation, state=State.LOST)), "it waited when the machine was restarted"
    assert not may_run(replace(evaluation, state=State.LOST, started=1.0))
    assert not may_run(replace(evaluation, state=State.FAILED))


def test_a_copy_that_a_launch_has_chosen_stays_though_no_job_names_it_yet(project: Project) -> None:
    chosen = copy_of(project.freeze())
    project.freeze()  # another launch chooses it, and goes no further
    project.say("edited")
    project.freeze()
    assert chosen in project.copies()
    assert flaw(chosen) is None


def test_a_copy_that_is_chosen_while_it_goes_comes_back(project: Project) -> None:
    place = copy_of(project.freeze())

    def chosen_meanwhile() -> list[Job]:
        project.freeze()
        return []

    remove_old(place.parent, place.stat().st_mtime + 2 * AGE, chosen_meanwhile)
    assert project.copies() == [place]


def test_nothing_goes_while_a_job_cannot_be_read(project: Project) -> None:
    old = copy_of(project.freeze())
    (project.jobs / "j1").mkdir()
    (project.jobs / "j1" / "job.json").write_text('{"state": "runn')
    project.say("edited")
    project.freeze()
    assert old in project.copies()


def test_what_a_killed_launch_has_left_behind_goes_too(project: Project) -> None:
    for name in (".new-killed", ".old-killed"):
        half = project.jobs / f".engines-{os.getuid()}" / name / "engine"
        half.mkdir(parents=True)
        os.utime(half.parent, (0, 0))
    project.freeze()
    assert len(project.copies()) == 1


def test_launches_that_clean_up_at_once_leave_every_launch_its_copy(project: Project) -> None:
    """Each makes a copy of its own while the others remove old ones."""
    projects = [project]
    for number in range(3):
        (project.folder.parent / str(number)).mkdir()
        projects.append(Project(project.folder.parent / str(number)))
        projects[-1].jobs = project.jobs
    made: list[Path] = []

    def launch(own: Project, number: int) -> None:
        for turn in range(4):
            own.say(f"{number}, {turn}")
            made.append(Path(own.freeze().command[-1]).parent)

    old = []
    for number in range(8):
        project.say(f"old {number}")
        old.append(project.freeze())
    for frozen in old:
        copy_of(frozen)
    threads = [threading.Thread(target=launch, args=(own, number)) for number, own in enumerate(projects)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(made)) == 16
    assert all(flaw(place) is None for place in made)
    project.say("the last")
    project.freeze()
    assert len(project.copies()) == 17
