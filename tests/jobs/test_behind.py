"""An evaluation or a blend of runs that are still to be trained queues behind their trainings."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from xray_tui.jobs.launch.dependencies import infer_dependencies
from xray_tui.jobs.model.job import Job, JobSpec, State

from .conftest import Place


def behind(runs: Path, spec: JobSpec) -> tuple[JobSpec, tuple[Job, ...]]:
    (spec,), parents = infer_dependencies(runs, [spec])
    return spec, parents


def test_an_evaluation_and_a_blend_come_after_the_trainings_of_their_runs(place: Place, tmp_path: Path) -> None:
    a, b = (place.launch("until", tmp_path / "go", kind="train", run=run) for run in ("a", "seeds/b"))
    evaluation = JobSpec("evaluate", "seeds/b", ("evaluate",), "none")
    spec, parents = behind(place.runs, evaluation)
    assert (spec.after, [job.id for job in parents]) == ((b.id,), [b.id])
    assert behind(place.runs, spec) == (spec, ()), "it is told once"
    members = ("--members", str(place.runs / "a"), str(place.runs / "seeds/b"), str(place.runs / "old"), "--tta", "hv")
    spec, _ = behind(place.runs, JobSpec("blend", "ab", ("blend", *members), "none"))
    assert spec.after == (a.id, b.id)


def test_what_is_trained_already_is_waited_for_by_nobody(place: Place, tmp_path: Path) -> None:
    working = place.launch("until", tmp_path / "never", kind="train", run="a")
    (place.runs / "a" / "checkpoints").mkdir(parents=True)
    (place.runs / "a" / "checkpoints" / "best.pt").touch()
    ended = place.until(place.launch("succeed", kind="train", run="b"))
    assert (place.until_working(working).state, ended.state) == (State.RUNNING, State.SUCCEEDED)
    for run in ("a", "b", "no such run"):
        assert behind(place.runs, JobSpec("evaluate", run, (), "none"))[1] == ()


def test_a_training_comes_after_that_of_the_run_it_begins_from(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    first = place.launch("until", tmp_path / "go", kind="train", run="seeds/first")
    recipe = tmp_path / "second.yaml"
    recipe.write_text("kind: train\ntraining: {init_from: runs/seeds/first}\n")

    def after(*argv: str) -> tuple[str, ...]:
        return behind(place.runs, JobSpec("train", "second", ("train", "--config", str(recipe), *argv), "none"))[
            0
        ].after

    assert after() == (first.id,)
    assert after("--set", "training.init_from=runs/seeds/first/checkpoints/best.pt") == (first.id,)
    of_fold = place.launch("until", tmp_path / "go", kind="train", run="first_sweep/fold_2")
    assert after("--set", "data.fold=2", "--set", "training.init_from=runs/first_sweep/fold_{fold}") == (of_fold.id,)
    assert after("--set", "training.init_from=") == ()
    assert after("--set", "training.init_from=weights.pt") == ()
    assert after("--set", "training.epochs=none") == (), "the launch says what is wrong with the config"
    linked = tmp_path / "linked"
    linked.symlink_to(place.runs)
    spec, _ = behind(linked, JobSpec("train", "b", ("train", "--config", str(recipe)), "none"))
    assert spec.after == (first.id,), "the folder's other name makes no difference"


def test_a_training_comes_after_what_the_base_of_its_recipe_now_names(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    one, two = (place.launch("until", tmp_path / "go", kind="train", run=run) for run in ("one", "two"))
    base, recipe = tmp_path / "_base.yaml", tmp_path / "third.yaml"
    recipe.write_text("base: _base.yaml\nkind: train\n")

    def after(run: str) -> tuple[str, ...]:
        base.write_text(f"training: {{init_from: runs/{run}}}\n")
        for path in (base, recipe):
            os.utime(path, (10**9, 10**9))
        return behind(place.runs, JobSpec("train", "third", ("train", "--config", str(recipe)), "none"))[0].after

    assert (after("one"), after("two")) == ((one.id,), (two.id,))


def test_a_blend_comes_after_the_trainings_of_what_its_config_names(place: Place, tmp_path: Path) -> None:
    a, presence = (place.launch("until", tmp_path / "go", kind="train", run=run) for run in ("a", "presence"))
    recipe = tmp_path / "blend.yaml"
    recipe.write_text(f"kind: blend\nmembers: [{place.runs}/a, {place.runs}/old]\n")
    fused = ("--set", f"presence_run={place.runs}/presence")
    spec, parents = behind(place.runs, JobSpec("blend", "ab", ("blend", "--config", str(recipe), *fused), "none"))
    assert spec.after == (a.id, presence.id)
    assert [job.spec.run for job in parents] == ["a", "presence"]
