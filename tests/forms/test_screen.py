"""The forms as they are used: by keys alone, in an app without anything else."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from threading import Event

import pytest
from textual import events
from textual.worker import WorkerState

from engine.contract.config import TrainConfig
from engine.contract.load import load_config
from tests.app.piloting import screen_text, until
from xray_tui.forms import sources
from xray_tui.forms.context import FormContext
from xray_tui.forms.controls import TextField
from xray_tui.forms.options import Launch
from xray_tui.forms.row import FormRow, FormSection
from xray_tui.forms.save_dialog import SaveScreen, config_path
from xray_tui.forms.screen import LaunchScreen
from xray_tui.jobs.model.job import JobSpec
from xray_tui.jobs.model.request import BlendRequest, EvaluateRequest, TrainRequest
from xray_tui.system.login_session import Place, Session
from xray_tui.system.logind import Kills

from .place import RUNS, FormApp, focus, offered, row, settle, text, type_over, write

pytestmark = pytest.mark.usefixtures("place")
COMMAND, SUMMARY, HELP = "#form-command-text", "#form-summary", "#form-help"


async def test_a_launch_leaves_with_the_job_that_was_shown() -> None:
    app = FormApp("train", gpus=[("GPU-1", "0 NVIDIA H100")])
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await type_over(pilot, app, "training.epochs", "3")
        assert text(app, COMMAND) == (
            "xray-engine train --config configs/dual.yaml --run runs/dual --set training.epochs=3"
        )
        await pilot.press("f5")
    request = TrainRequest(config="configs/dual.yaml", runs="runs", overrides=("training.epochs=3",))
    assert app.results == [Launch((JobSpec("train", "dual", request, "auto"),))]


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_a_launch_that_would_not_outlive_the_session_is_warned_of_and_not_held_up(
    monkeypatch: pytest.MonkeyPatch, size: tuple[int, int]
) -> None:
    killed = Session(Place.SESSION, "session-7.scope", "ana", Kills(True), lingers=False)
    monkeypatch.setattr("xray_tui.forms.screen.this_session", lambda: killed)
    app = FormApp("train")
    async with app.run_test(size=size) as pilot:
        await settle(pilot)
        assert text(app, SUMMARY).startswith("! ready: F5 launches, but logind kills jobs at logout")
        assert app.form.query_one(SUMMARY).region.height >= 2  # all of it can be read
        await pilot.press("f5")
    assert len(app.results) == 1


async def test_a_bad_number_is_said_in_words_under_its_field_and_nothing_is_launched() -> None:
    app = FormApp("train")
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await type_over(pilot, app, "training.epochs", "0")
        assert "training.epochs: 0: should be greater than or equal to 1" in text(app, SUMMARY)
        assert text(app, ".form-problem") == "0: should be greater than or equal to 1"
        focus(app, "seed")
        await pilot.press("f5")
        await settle(pilot)
        assert text(app, SUMMARY).startswith("✗ not launched: training.epochs")
        assert app.focused is row(app, "training.epochs").control
        assert app.results == []
        await pilot.press("ctrl+u", "4")
        await settle(pilot)
        assert text(app, SUMMARY) == "✓ ready: F5 launches"
        assert not app.form.query_one(".form-problem").display


async def test_choosing_another_recipe_fills_the_fields_and_proposes_a_name() -> None:
    app = FormApp("train")
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await pilot.press("right")
        await settle(pilot)
        assert row(app, "training.epochs").control.value == "5"
        assert row(app, "data.manifest").control.value == "data/manifest.csv"
        assert row(app, "run").control.value == "plain"
        assert text(app, COMMAND) == "xray-engine train --config configs/plain.yaml --run runs/plain"


async def test_a_recipe_of_another_network_has_rows_of_its_own() -> None:
    write(Path("configs") / "swin.yaml", {"description": "3-D", "model": {"arch": "swin3d_adapter", "depth": 3}})
    write(Path("configs") / "who.yaml", {"kind": "classifier", "description": "Is there one"})
    app = FormApp("train")
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await type_over(pilot, app, "run", "mine")
        focus(app, "base")
        for recipe, has, has_not in (
            ("plain", "model.encoder", "model.depth"),
            ("swin", "model.depth", "model.encoder"),
            ("who", "model.dropout", "loss.dice"),
        ):
            await pilot.press("right")
            await settle(pilot)
            assert app.focused is row(app, "base").control
            assert text(app, COMMAND) == f"xray-engine train --config configs/{recipe}.yaml --run runs/mine"
            keys = {key for section in app.form.query(FormSection) for key in section.keys}
            keys |= {each.key for each in app.form.query(FormRow)}
            assert has in keys
            assert has_not not in keys
        await pilot.press("f5")
    request = TrainRequest(config="configs/who.yaml", runs="runs")
    assert app.results == [Launch((JobSpec("train", "mine", request, "none"),))]


async def test_a_name_that_was_typed_stays_when_the_recipe_changes() -> None:
    app = FormApp("train")
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await type_over(pilot, app, "run", "mine")
        focus(app, "base")
        await pilot.press("right")
        await settle(pilot)
        assert row(app, "run").control.value == "mine"


async def test_a_name_that_is_taken_is_refused_at_once() -> None:
    app = FormApp("train")
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await type_over(pilot, app, "run", "plain_a")
        assert "the folder exists and is not empty; plain_a_2 is free" in text(app, SUMMARY)
        await pilot.press("f5")
        assert app.results == []


async def test_the_run_under_the_cursor_fills_the_form_and_is_named() -> None:
    app = FormApp("train", current="dual_a")
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        assert str(row(app, "base").control.query_one("#label").content).startswith("run dual_a")
        assert row(app, "run").control.value == "dual_a_2"
        assert text(app, COMMAND) == "xray-engine train --config runs/dual_a/config.yaml --run runs/dual_a_2"


async def test_a_section_makes_its_rows_when_it_is_opened_and_counts_what_changed() -> None:
    app = FormApp("train")
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(pilot)
        before = len(app.form.query(FormRow))
        section = next(section for section in app.form.query(FormSection) if section.section == "training")
        section.query_one("CollapsibleTitle").focus()
        await pilot.press("space")
        await settle(pilot)
        assert len(app.form.query(FormRow)) == before + len(section.keys)
        await type_over(pilot, app, "training.lr", "0.5")
        assert "training.lr=0.5" in text(app, COMMAND)
        assert "1 changed" in str(section.query_one("CollapsibleTitle").render())


async def test_switching_the_second_head_off_hides_its_fields_and_sets_it_to_nothing() -> None:
    app = FormApp("train")
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(pilot)
        section = next(section for section in app.form.query(FormSection) if section.section == "model")
        section.collapsed = False
        await settle(pilot)
        assert row(app, "model.classification_head.hidden").display
        focus(app, "model.classification_head")
        await pilot.press("space")
        await settle(pilot)
        assert not row(app, "model.classification_head.hidden").display
        assert text(app, COMMAND).endswith("--set model.classification_head=")


async def test_a_refused_launch_opens_the_section_of_the_wrong_field() -> None:
    app = FormApp("train")
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(pilot)
        section = next(section for section in app.form.query(FormSection) if "loss.bce" in section.keys)
        await section.make_rows()
        await settle(pilot)
        section.collapsed = False
        await type_over(pilot, app, "loss.bce", "-1")
        section.collapsed = True
        focus(app, "seed")
        await pilot.press("f5")
        await settle(pilot)
        assert app.focused is row(app, "loss.bce").control
        assert "-1.0: should be greater than or equal to 0" in text(app, SUMMARY)


async def test_enter_opens_a_list_and_chooses_in_it_and_only_f5_launches_from_there() -> None:
    app = FormApp("evaluate", current="plain_a")
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        focus(app, "tta")
        await pilot.press("enter")
        assert row(app, "tta").control.expanded
        await pilot.press("d", "4", "enter")
        await settle(pilot)
        assert not row(app, "tta").control.expanded
        assert row(app, "tta").control.value == "d4"
        assert app.results == []
        await pilot.press("f5")
    request = EvaluateRequest(runs="runs", tta="d4", threshold="tuned")
    assert app.results == [Launch((JobSpec("evaluate", "plain_a", request, "none"),))]


async def test_an_evaluation_offers_only_runs_that_have_a_checkpoint_and_takes_none_in_place_of_another() -> None:
    app = FormApp("evaluate", current="unfinished")
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        assert offered(app, "run")[1:] == ["dual_a", "plain_a"]
        await pilot.press("f5")
        assert text(app, SUMMARY) == "✗ not launched: run: unfinished has no checkpoints/best.pt"
        assert app.results == []
        await pilot.press("right", "f5")
    assert [spec.run for launch in app.results for spec in launch.specs] == ["dual_a"]


async def test_without_a_checkpoint_an_evaluation_says_what_is_missing(place: Path) -> None:
    app = FormApp("evaluate", runs=place / "elsewhere")
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        assert text(app, COMMAND) == ""
        await pilot.press("f5")
        assert "expected a run with checkpoints/best.pt" in text(app, SUMMARY)
        assert app.results == []


async def test_a_blend_takes_the_marked_runs_and_space_or_enter_changes_them() -> None:
    app = FormApp("blend", marked=["plain_a", "dual_a"], gpus=[("0", "0 NVIDIA H100")])
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        assert text(app, SUMMARY) == "✓ ready: F5 launches"
        focus(app, "members")
        await pilot.press("down", "space")
        await settle(pilot)
        assert "choose at least two members" in text(app, SUMMARY)
        await pilot.press("enter", "f5")
    request = BlendRequest(members=("runs/plain_a", "runs/dual_a"), runs="runs", tta="auto")
    assert app.results == [Launch((JobSpec("blend", "blend", request, "auto"),))]


async def test_arrows_go_from_field_to_field_and_the_help_line_explains_each() -> None:
    app = FormApp("evaluate")
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        for _ in range(3):
            await pilot.press("down")
        await settle(pilot)
        assert app.focused is row(app, "threshold").control
        assert text(app, HELP).startswith("threshold: A number between 0 and 1, or tuned")


@pytest.mark.parametrize("key", ["f1", "ctrl+o"])
async def test_the_field_help_has_sentences_with_bounds_and_an_example(key: str) -> None:
    app = FormApp("train")
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        section = next(section for section in app.form.query(FormSection) if section.section == "training")
        section.collapsed = False
        await settle(pilot)
        focus(app, "training.layer_decay")
        await settle(pilot)
        assert "Learning rate of each layer as a share of the next" in text(app, HELP)
        await pilot.press(key)
        await settle(pilot)
        assert app.screen is not app.form
        assert "0.75." in screen_text(app)
        await pilot.press("escape")
        assert app.focused is row(app, "training.layer_decay").control


async def test_the_command_and_the_help_follow_each_key_and_the_verdict_a_pause(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("xray_tui.forms.screen.QUIET", 60.0)
    app = FormApp("train")
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        focus(app, "training.epochs")
        await pilot.press("ctrl+u", "0", "down")
        assert "training.epochs=0" in text(app, COMMAND)
        assert text(app, HELP).startswith("training.batch_size: ")
        assert text(app, SUMMARY) == "✓ ready: F5 launches"
        await pilot.press("f5")
        assert text(app, SUMMARY).startswith("✗ not launched: training.epochs: 0")
        assert app.results == []


async def test_enter_goes_to_the_next_field_and_launches_on_the_line_launch() -> None:
    app = FormApp("train")
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        focus(app, "run")
        await pilot.press("enter")
        assert app.focused is row(app, "gpu").control
        app.form.query_one("#form-launch").focus()
        await pilot.press("enter")
    assert len(app.results) == 1


async def test_what_is_pasted_into_a_field_holds_nothing_that_a_terminal_would_act_on() -> None:
    app = FormApp("train")
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        focus(app, "run")
        await pilot.press("ctrl+u")
        app.post_message(events.Paste("a\u202eb\x9bc\x1b[31m\nsecond line"))
        await settle(pilot)
        await pilot.press("d")
        await settle(pilot)
        control = row(app, "run").control
        assert control.value == "a\N{REPLACEMENT CHARACTER}b\N{REPLACEMENT CHARACTER}c␛[31md"
        assert "\u202e" not in text(app, COMMAND)


async def test_escape_leaves_with_nothing() -> None:
    app = FormApp("train")
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await pilot.press("escape")
    assert app.results == [None]


async def test_a_saved_form_is_a_config_that_loads(place: Path) -> None:
    app = FormApp("train")
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await type_over(pilot, app, "training.epochs", "3")
        await type_over(pilot, app, "data.manifest", "data/manifest.csv")
        await pilot.press("ctrl+s")
        await settle(pilot)
        assert app.screen.query_one(TextField).value == "configs/dual.yaml"
        await pilot.press("ctrl+u", *"sub/mine", "enter")
        await settle(pilot)
        assert app.screen is app.form
    config = load_config(place / "sub" / "mine.yaml")
    assert isinstance(config, TrainConfig)
    assert (config.training.epochs, config.seed, config.name) == (3, 7, None)
    assert Path(config.data.manifest).resolve() == place / "data" / "manifest.csv"


async def test_a_file_is_only_written_over_after_a_second_enter(place: Path) -> None:
    before = (place / "configs" / "dual.yaml").read_bytes()
    app = FormApp("train")
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await pilot.press("ctrl+s")
        await settle(pilot)
        await pilot.press("enter")
        await settle(pilot)
        assert isinstance(app.screen, SaveScreen)
        assert "exists; press enter again" in str(app.screen.query_one("#save-note").render())
        assert (place / "configs" / "dual.yaml").read_bytes() == before
        await pilot.press("enter")
        await settle(pilot)
        assert app.screen is app.form
    assert (place / "configs" / "dual.yaml").read_bytes() != before


@pytest.mark.parametrize(
    ("typed", "path"),
    [
        ("a", "a.yaml"),
        ("b/a.yml", "b/a.yml"),
        ("a.v2", "a.v2.yaml"),
        ("", None),
        ("b/", None),
        ("~nobody-here/a", None),
    ],
)
def test_a_typed_file_name_gets_the_ending_of_a_config(typed: str, path: str | None) -> None:
    assert config_path(typed) == (Path(path) if path else None)


async def test_a_place_that_cannot_be_written_to_is_said_and_another_can_be_given(place: Path) -> None:
    (place / "file").write_text("x")
    app = FormApp("train")
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await pilot.press("ctrl+s")
        await settle(pilot)
        await pilot.press("ctrl+u", *"file/mine", "enter")
        await settle(pilot)
        assert isinstance(app.screen, SaveScreen)
        assert "choose another place" in str(app.screen.query_one("#save-note").render())


async def test_names_from_files_are_shown_as_text_without_markup_or_control_codes(place: Path) -> None:
    name = "a[/]|`b`\x1b[31m"
    (place / "runs" / name / "checkpoints").mkdir(parents=True)
    (place / "runs" / name / "checkpoints" / "best.pt").touch()
    write(place / "configs" / "a[/b].yaml", {"description": "[red]x\x1b]0;y\x07"})
    for kind in ("train", "evaluate", "blend"):
        app = FormApp(kind, current=name, marked=[name])
        async with app.run_test(size=(80, 24)) as pilot:
            await settle(pilot)
            await pilot.press("space")
            await settle(pilot)
            assert "\x1b" not in screen_text(app)


async def test_of_recipes_chosen_one_after_the_other_the_last_one_counts() -> None:
    app = FormApp("train", current="dual_a")
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await pilot.press("right", "right", "f5")
        await settle(pilot)
        if not app.results:  # it came before the files were read, and was refused
            await pilot.press("f5")
    assert app.results[0].specs[0].argv == ("train", "--config", "configs/plain.yaml", "--run", "runs/plain")


async def test_keys_typed_before_the_files_are_read_act_once_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    go_on = Event()
    monkeypatch.setattr(sources, "read_runs", lambda runs: (go_on.wait(10), ((), {}))[1])
    app = FormApp("train")
    async with app.run_test(size=(80, 24)) as pilot:
        for key in ("down", "ctrl+u", *"typed", "f5"):
            app.post_message(events.Key(key, key if len(key) == 1 else None))
        await pilot.pause(0.1)
        assert app.results == []
        go_on.set()
        await until(pilot, lambda: bool(app.results))
    assert app.results[0].specs[0].run == "typed"


async def test_a_form_whose_files_are_still_read_is_left_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    go_on = Event()
    monkeypatch.setattr(sources, "read_runs", lambda runs: (go_on.wait(10), ((), {}))[1])
    app = FormApp("train")
    async with app.run_test(size=(80, 24)) as pilot:
        for key in ("f5", "escape"):
            app.post_message(events.Key(key, None))
        await until(pilot, lambda: app.results == [None])
        go_on.set()


async def test_files_that_are_read_only_while_the_form_closes_do_not_touch_its_widgets(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    go_on = Event()

    async def read_now(form: LaunchScreen) -> None:  # the widgets are gone, the worker is not cancelled yet
        worker = next(worker for worker in form.workers if worker.group == "form-reading")
        go_on.set()
        while not worker.is_finished:
            await asyncio.sleep(0.01)
        ends.append(worker.state)

    ends: list[WorkerState] = []
    monkeypatch.setattr(sources, "read_runs", lambda runs: (go_on.wait(10), ((), {}))[1])
    monkeypatch.setattr(LaunchScreen, "on_unmount", read_now, raising=False)
    app = FormApp("train")
    async with app.run_test(size=(80, 24)) as pilot:
        app.post_message(events.Key("escape", None))
        await until(pilot, lambda: bool(ends))
    assert ends == [WorkerState.SUCCESS]


async def test_a_form_whose_files_cannot_be_read_shows_the_reason_and_launches_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*arguments: object) -> None:
        raise OSError("stale file handle")

    app = FormApp("train")
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        monkeypatch.setattr(sources, "read_filling", fail)
        await pilot.press("right")
        await settle(pilot)
        assert text(app, SUMMARY) == "✗ cannot read runs: stale file handle"
        await pilot.press("f5")
        assert app.results == []
        await pilot.press("escape")
    assert app.results == [None]


def test_the_form_s_module_brings_no_pydantic_before_a_form_opens() -> None:
    code = "import sys, xray_tui.forms.screen; print([m for m in ('pydantic', 'torch', 'numpy') if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=os.environ, check=True)
    assert result.stdout.strip() == "[]"


async def test_an_old_notice_does_not_lie_over_the_command_of_a_form() -> None:
    app = FormApp("train")
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await settle(pilot)
        await pilot.press("escape")
        app.notify("Asked to stop", timeout=60)
        await pilot.pause()
        assert app.screen.query("Toast")
        app.push_screen(LaunchScreen(FormContext("evaluate", RUNS)))
        await settle(pilot)
        assert not app.screen.query("Toast")


async def test_a_notice_that_comes_while_a_form_is_open_leaves_the_verdict_visible() -> None:
    app = FormApp("train")
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await settle(pilot)
        app.notify("job ended " * 20, timeout=60)
        await until(pilot, lambda: bool(app.screen.query("Toast")))
        await settle(pilot)
        (toast,) = app.screen.query("Toast")
        assert toast.region.bottom <= app.form.query_one("#form-foot").region.y
