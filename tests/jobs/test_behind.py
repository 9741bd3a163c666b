"""An evaluation or a blend of runs that are still to be trained queues behind their trainings."""

from __future__ import annotations

from pathlib import Path

from xray_tui.jobs.behind import behind
from xray_tui.jobs.job import JobSpec, State

from .conftest import Place


def test_an_evaluation_and_a_blend_come_after_the_trainings_of_their_runs(place: Place, tmp_path: Path) -> None:
    a, b = (place.launch("until", tmp_path / "go", kind="train", run=run) for run in ("a", "seeds/b"))
    evaluation = JobSpec("evaluate", "seeds/b", ("evaluate",), "none")
    spec, parents = behind(place.store, evaluation)
    assert (spec.after, [job.id for job in parents]) == ((b.id,), [b.id])
    assert behind(place.store, spec) == (spec, ()), "it is told once"
    members = ("--members", str(place.runs / "a"), str(place.runs / "seeds/b"), str(place.runs / "old"), "--tta", "hv")
    spec, _ = behind(place.store, JobSpec("blend", "ab", ("blend", *members), "none"))
    assert spec.after == (a.id, b.id)


def test_what_is_trained_already_is_waited_for_by_nobody(place: Place, tmp_path: Path) -> None:
    working = place.launch("until", tmp_path / "never", kind="train", run="a")
    (place.runs / "a" / "checkpoints").mkdir(parents=True)
    (place.runs / "a" / "checkpoints" / "best.pt").touch()
    ended = place.until(place.launch("succeed", kind="train", run="b"))
    assert (place.until_working(working).state, ended.state) == (State.RUNNING, State.SUCCEEDED)
    for run in ("a", "b", "no such run"):
        assert behind(place.store, JobSpec("evaluate", run, (), "none"))[1] == ()
