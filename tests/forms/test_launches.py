"""The launch's own fields: seeds, a sweep, an evaluation afterwards, and when it all starts."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from tests.app.piloting import screen_text
from xray_tui.cli import main
from xray_tui.forms.options import Launch, LaunchOptions
from xray_tui.forms.preflight_lines import make_preflight
from xray_tui.forms.row import FormSection
from xray_tui.jobs.launch.launcher import LocalLauncher
from xray_tui.jobs.model.job import Job, JobSpec, Progress, State
from xray_tui.jobs.model.request import TrainRequest
from xray_tui.jobs.preflight.preflight import Outlook
from xray_tui.screens.confirm import ConfirmScreen
from xray_tui.settings import Settings

from .place import RUNS, FormApp, focus, offered, row, settle, text, type_over, write

pytestmark = pytest.mark.usefixtures("place")
COMMAND, SUMMARY, HELP = "#form-command-text", "#form-summary", "#form-help"
GPUS = [("GPU-1", "0 NVIDIA H100"), ("GPU-2", "1 NVIDIA H100")]
RUNNING = Job("j1", JobSpec("train", "big", ()), State.RUNNING, progress=Progress(1, 9, "epochs", "training"))
DONE = Job("j0", JobSpec("train", "old", ()), State.SUCCEEDED)


async def opened(pilot: Pilot[Any], app: FormApp) -> FormSection:
    """The section of the launch, opened by its key."""
    await settle(pilot)
    section = next(section for section in app.form.query(FormSection) if section.section == "launch")
    section.query_one("CollapsibleTitle").focus()
    await pilot.press("space")
    await settle(pilot)
    return section


def title(section: FormSection) -> str:
    return str(section.query_one("CollapsibleTitle").render())


def problem(app: FormApp) -> str:
    """The one that is said below a field."""
    (shown,) = [line for line in app.form.query(".form-problem") if line.display]
    return str(shown.render())


async def test_a_form_names_what_a_launch_can_have_and_asks_for_none_of_it() -> None:
    app = FormApp("train")
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        section = next(iter(app.form.query(FormSection)))
        assert title(section).endswith("launch     seeds, sweep, evaluate, gpus, after, priority, hold")
        assert section.region.bottom <= app.form.query_one("#form-fields").region.bottom  # seen without scrolling
        await pilot.press("f5")
    request = TrainRequest(config="configs/dual.yaml", runs="runs")
    assert app.results == [Launch((JobSpec("train", "dual", request, "none"),))]


async def test_seeds_are_trained_each_in_a_run_of_its_own_and_evaluated() -> None:
    app = FormApp("train", gpus=GPUS)
    async with app.run_test(size=(80, 24)) as pilot:
        section = await opened(pilot, app)
        await pilot.press("down", *"42,7", "down", "down", "space")
        await settle(pilot)
        assert text(app, SUMMARY) == "✓ ready: F5 launches 2 trainings, each with its evaluation"
        assert title(section).endswith("launch     2 changed · seeds, sweep, evaluate, gpus, after, priority, hold")
        await pilot.press("f5")
    (launch,) = app.results
    assert [spec.run for spec in launch.specs] == ["dual_seeds/seed_42", "dual_seeds/seed_7"]
    assert launch.specs[1].argv[-4:] == ("--run", "runs/dual_seeds/seed_7", "--set", "seed=7")
    assert (launch.evaluate, launch.hold) == (True, False)


async def test_what_are_no_seeds_is_said_under_the_field_and_nothing_is_launched() -> None:
    app = FormApp("train")
    async with app.run_test(size=(80, 24)) as pilot:
        section = await opened(pilot, app)
        await type_over(pilot, app, "seeds", "42,x")
        assert problem(app) == "42,x: give whole numbers separated by commas, such as 42,1337"
        assert text(app, SUMMARY) == "✗ seeds: 42,x: give whole numbers separated by commas, such as 42,1337"
        assert "✗ 1 wrong" in title(section)
        section.collapsed = True
        focus(app, "run")
        await pilot.press("f5")
        await settle(pilot)
        assert app.results == []
        assert app.focused is row(app, "seeds").control
        await pilot.press("end", "backspace", "1")
        await settle(pilot)
        assert text(app, SUMMARY) == "✓ ready: F5 launches 2 trainings"


async def test_a_sweep_trains_every_combination() -> None:
    app = FormApp("train")
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(pilot, app)
        await type_over(pilot, app, "sweep", "training.lr=1e-3,3e-4; data.image_size=64,96,128")
        assert text(app, SUMMARY) == "✓ ready: F5 launches 6 trainings"
        await pilot.press("f5")
    (launch,) = app.results
    assert launch.specs[0].run == "dual_sweep/lr_1e-3_image_size_64"
    assert launch.specs[-1].argv[-4:] == ("--set", "training.lr=3e-4", "--set", "data.image_size=128")


async def test_more_than_eight_jobs_are_launched_only_after_a_question() -> None:
    app = FormApp("train")
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(pilot, app)
        await type_over(pilot, app, "seeds", "1,2,3,4,5")
        focus(app, "evaluate")
        await pilot.press("space", "f5")
        assert isinstance(app.screen, ConfirmScreen)
        shown = screen_text(app)
        assert "Launch 10 jobs?" in shown
        assert "5 trainings, each with its evaluation" in shown
        await pilot.press("n")
        assert (app.screen, app.results) == (app.form, [])
        await pilot.press("f5", "y")
    assert len(app.results[0].specs) == 5


@pytest.mark.parametrize("kind", ["evaluate", "blend"])
async def test_a_form_can_accept_training_images_in_the_split(kind: str) -> None:
    app = FormApp(kind, current="plain_a", marked=["plain_a", "dual_a"])
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(pilot, app)
        focus(app, "allow_overlap")
        await pilot.press("enter")
        await settle(pilot)
        assert text(app, COMMAND).startswith(f"xray-engine {kind} ")
        assert "--allow-overlap" in text(app, COMMAND)
        await pilot.press("f5")
    assert app.results[0].specs[0].request.allow_overlap


async def test_a_sweep_that_no_training_could_run_is_refused_while_it_is_typed() -> None:
    refused = {
        "training.lr": "training.lr: give a field with values, such as training.lr=1e-3,3e-4",
        "training.speed=1,2": "training.speed: unknown field; expected a field of the config such as training.lr",
        "training.lr=0.1,-1": "training.lr: -1",
        "training.epochs=two": "training.epochs: ",
        "seed=" + ",".join(map(str, range(65))): "that would be 65 trainings; at most 64 at once",
    }
    app = FormApp("train")
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(pilot, app)
        for sweep, words in refused.items():
            row(app, "sweep").control.value = sweep
            await settle(pilot)
            assert text(app, SUMMARY).startswith(f"✗ sweep: {words}")
        await pilot.press("f5")
        assert app.results == []


async def test_seeds_and_a_sweep_do_not_both_give_the_seed() -> None:
    app = FormApp("train")
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, app)
        await type_over(pilot, app, "seeds", "1,2")
        await type_over(pilot, app, "sweep", "seed=3,4")
        assert text(app, SUMMARY) == "✗ sweep: seed: already set by seeds; give one of the two"


async def test_the_name_of_a_run_is_free_for_its_seed_group_until_a_seed_of_it_is_there(place: Path) -> None:
    write(place / "runs" / "plain_a_seeds" / "seed_2" / "config.yaml", {})
    app = FormApp("train")
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, app)
        await type_over(pilot, app, "run", "plain_a")
        assert "the folder exists" in problem(app)
        await type_over(pilot, app, "seeds", "1")
        assert text(app, SUMMARY) == "✓ ready: F5 launches"
        await type_over(pilot, app, "seeds", "1,2")
        assert problem(app).startswith("plain_a_seeds/seed_2: the folder exists and is not empty")


async def test_a_run_has_one_name_however_it_is_typed() -> None:
    app = FormApp("train")
    async with app.run_test(size=(80, 40)) as pilot:
        await settle(pilot)
        section = await opened(pilot, app)
        assert section.section == "launch"
        await type_over(pilot, app, "run", "dual_a/.")
        assert "not empty" in problem(app)
        await type_over(pilot, app, "run", "new//b/../a/.")
        await type_over(pilot, app, "seeds", "1")
        await pilot.press("f5")
    (launch,) = app.results
    assert [spec.run for spec in launch.specs] == ["new/a_seeds/seed_1"]
    assert "runs/new/a_seeds/seed_1" in launch.specs[0].argv


async def test_a_number_that_the_queue_would_not_take_is_said_under_its_field() -> None:
    refused = [
        ("priority", "", "empty: expected a whole number, 0 to 99"),
        ("priority", "100", "100: give 0 (served first) to 99"),
        ("gpus", "3", "3: there are only 2"),
        ("gpus", "0", "0: give 1 or more"),
        ("gpus", "two", "two: expected a whole number, 1 or more"),
    ]
    app = FormApp("train", gpus=GPUS)
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(pilot, app)
        for key, typed, words in refused:
            await type_over(pilot, app, key, typed)
            assert problem(app).startswith(words)
            await type_over(pilot, app, key, "1")


async def test_several_gpus_are_for_auto_alone() -> None:
    app = FormApp("train", gpus=GPUS)
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(pilot, app)
        await type_over(pilot, app, "gpus", "2")
        assert text(app, SUMMARY) == "✓ ready: F5 launches"
        focus(app, "gpu")
        await pilot.press("right")
        await settle(pilot)
        assert problem(app).startswith("2 goes with gpu auto")
        await pilot.press("left", "f5")
    assert app.results[0].specs[0].gpu_count == 2


@pytest.mark.parametrize("kind", ["train", "evaluate", "blend"])
async def test_every_kind_can_come_after_a_job_that_has_not_ended_or_be_held(kind: str) -> None:
    app = FormApp(kind, jobs=[RUNNING, DONE], current="plain_a", marked=["plain_a", "dual_a"])
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(pilot, app)
        assert offered(app, "after") == ["none", "train big  running"]
        focus(app, "after")
        await pilot.press("right", "down", "ctrl+u", "9", "down", "space")
        await settle(pilot)
        assert text(app, SUMMARY) == "✓ ready: F5 launches it, held until released"
        await pilot.press("f5")
    (launch,) = app.results
    (spec,) = launch.specs
    assert (spec.kind, spec.after, spec.priority, launch.hold) == (kind, ("j1",), 9, True)


async def test_the_shown_command_launches_the_same_from_a_shell(monkeypatch: pytest.MonkeyPatch, place: Path) -> None:
    seen: list[Launch] = []

    def capture(launcher: object, specs: Sequence[JobSpec], evaluate: bool, hold: bool) -> list[Job]:
        seen.append(Launch(tuple(specs), evaluate, hold))
        return []

    monkeypatch.setattr(LocalLauncher, "launch_all", capture)
    monkeypatch.setattr(LocalLauncher, "check", lambda *_: None)
    monkeypatch.setattr("xray_tui.jobs.preflight.preflight.look_ahead", lambda *_: Outlook(()))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(place / "config"))
    app = FormApp("train", gpus=GPUS)
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(pilot, app)
        await type_over(pilot, app, "training.epochs", "3")
        await type_over(pilot, app, "seeds", " 1, 2")
        await type_over(pilot, app, "sweep", "training.lr=1e-3, 3e-4; loss.bce=0.5")
        await type_over(pilot, app, "gpus", "2")
        await type_over(pilot, app, "priority", "7")
        focus(app, "evaluate")
        await pilot.press("space")
        focus(app, "hold")
        await pilot.press("space")
        await settle(pilot)
        command = text(app, COMMAND)
        await pilot.press("f5")
    assert main.main(shlex.split(command)[1:]) == 0
    assert seen == app.results
    assert len(seen[0].specs) == 4


async def test_what_is_typed_for_the_launch_stays_when_the_recipe_changes() -> None:
    app = FormApp("train")
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, app)
        await type_over(pilot, app, "seeds", "1,2")
        focus(app, "base")
        await pilot.press("right")
        await settle(pilot)
        assert row(app, "seeds").control.value == "1,2"
        await pilot.press("f5")
    assert [spec.run for spec in app.results[0].specs] == ["plain_seeds/seed_1", "plain_seeds/seed_2"]


async def test_the_field_with_the_focus_stays_in_sight_when_the_lines_below_grow() -> None:
    app = FormApp("train", gpus=GPUS)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, app)
        await type_over(pilot, app, "seeds", "1,2")
        await type_over(pilot, app, "sweep", "training.lr=1e-3,3e-4; loss.bce=0.5")
        focus(app, "hold")
        await pilot.press("space")
        await settle(pilot)
        seen, fields = row(app, "hold").control.region, app.form.query_one("#form-fields").region
        assert fields.y <= seen.y < fields.bottom


def test_a_look_ahead_checks_all_jobs(place: Path) -> None:
    from xray_tui.gpu.snapshot import GpuSnapshot

    look = make_preflight(RUNS, Settings(lease_dir=place / "leases"), GpuSnapshot)
    specs = tuple(
        JobSpec("train", name, ("train", "--config", config, "--run", f"runs/{name}"), "none")
        for name, config in (("one", "configs/plain.yaml"), ("two", "configs/none.yaml"))
    )
    said = [check.text for check in look(Launch(specs, evaluate=True)).checks]
    assert any("data/manifest.csv" in line for line in said)
    assert any("none.yaml" in line for line in said)


@pytest.mark.parametrize(
    ("launch", "words"),
    [
        (Launch(("a",)), ""),  # type: ignore[arg-type]
        (Launch(("a",), evaluate=True), "a training and its evaluation"),  # type: ignore[arg-type]
        (Launch(("a", "b")), "2 trainings"),  # type: ignore[arg-type]
        (Launch(("a", "b"), True, True), "2 trainings, each with its evaluation, held until released"),  # type: ignore[arg-type]
    ],
)
def test_a_launch_says_in_words_how_much_it_is(launch: Launch, words: str) -> None:
    assert launch.words == words


def test_options_that_differ_from_their_defaults_are_changed() -> None:
    assert LaunchOptions().changed == frozenset()
    assert LaunchOptions(seeds="1", hold=True).changed == {"seeds", "hold"}


async def test_a_form_says_beside_the_gpu_what_the_shell_leaves_to_jobs() -> None:
    limit = "CUDA_VISIBLE_DEVICES=1 limits jobs to GPU 1"
    app = FormApp("train", gpus=GPUS[1:], gpu_limit=limit)
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(pilot)
        assert [str(line.render()) for line in row(app, "gpu").query(".form-hint")] == [limit]
