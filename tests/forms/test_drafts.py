"""What a form keeps when it is left, and how it goes back to the recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from xray_tui.forms.context import FormContext
from xray_tui.forms.row import FormSection
from xray_tui.forms.screen import LaunchScreen
from xray_tui.forms.sources import read_sources
from xray_tui.forms.state import FormState
from xray_tui.jobs.model.job import Job, JobSpec, Progress, State

from .place import RUNS, FormApp, focus, recipes, row, settle, text, type_over

pytestmark = pytest.mark.usefixtures("place")
TITLE, COMMAND = "#form-title", "#form-command-text"


def opened(drafts: dict[tuple[object, ...], dict[str, Any]], kind: Any, **given: Any) -> FormState:
    """The values of a new form of the same app."""
    context = FormContext(kind, RUNS, recipes=recipes(), drafts=drafts, **given)
    return FormState(context, read_sources(context))


async def test_a_form_that_was_left_has_its_values_the_next_time_and_a_reset_drops_them() -> None:
    drafts: Any = {}
    app = FormApp("train", drafts=drafts)
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(pilot)
        assert text(app, TITLE).startswith("Train a network from the recipe dual   in runs")
        await type_over(pilot, app, "training.epochs", "3")
        await pilot.press("1", "escape")  # the last key has not been validated yet
        await settle(pilot)
        app.form = LaunchScreen(FormContext("train", RUNS, recipes=recipes(), drafts=drafts))
        app.push_screen(app.form, app.left)
        await settle(pilot)
        assert row(app, "training.epochs").control.value == "31"
        assert "with your draft (ctrl+r resets)" in text(app, TITLE)
        assert "training.epochs=31" in text(app, COMMAND)
        await pilot.press("ctrl+r")
        await settle(pilot)
        assert row(app, "training.epochs").control.value == "9"
        assert "draft" not in text(app, TITLE)
        assert "--set" not in text(app, COMMAND)
        await pilot.press("escape")
    assert app.results == [None, None]
    assert not any(drafts.values())


async def test_a_reset_leaves_sections_open_and_the_cursor_in_its_field() -> None:
    app = FormApp("train")
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(pilot)
        section = next(section for section in app.form.query(FormSection) if section.section == "training")
        section.collapsed = False
        await settle(pilot)
        await type_over(pilot, app, "training.lr", "0.5")
        await pilot.press("ctrl+r")
        await settle(pilot)
        assert row(app, "training.lr").control.value == "0.0003"
        assert app.focused is row(app, "training.lr").control
        assert not section.collapsed


async def test_a_reset_of_a_blend_chooses_the_marked_runs_again() -> None:
    app = FormApp("blend", marked=["plain_a", "dual_a"])
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        focus(app, "members")
        await pilot.press("down", "space")
        await settle(pilot)
        assert row(app, "members").control.value == ("plain_a",)
        await pilot.press("ctrl+r")
        assert row(app, "members").control.value == ("plain_a", "dual_a")


async def test_a_launch_drops_the_draft() -> None:
    drafts: Any = {}
    state = opened(drafts, "train")
    state.update("training.epochs", "3")
    state.keep_draft()
    app = FormApp("train", drafts=drafts)
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await pilot.press("f5")
    assert app.results[0].specs[0].argv[-1] == "training.epochs=3"
    assert not any(drafts.values())


def test_a_draft_belongs_to_its_kind_and_its_recipe() -> None:
    drafts: Any = {}
    state = opened(drafts, "train")
    state.update("training.epochs", "3")
    state.keep_draft()
    assert opened(drafts, "train", current="dual_a").raw["training.epochs"] == "9"
    assert opened(drafts, "train").raw["training.epochs"] == "3"
    again = opened(drafts, "train")
    again.keep_draft()
    assert opened(drafts, "train").raw["training.epochs"] == "3"


def test_a_draft_of_a_blend_belongs_to_the_marked_runs() -> None:
    drafts: Any = {}
    state = opened(drafts, "blend", marked=["plain_a"])
    state.update("members", ("plain_a", "dual_a"))
    state.keep_draft()
    assert opened(drafts, "blend", marked=["plain_a"]).raw["members"] == ("plain_a", "dual_a")
    assert opened(drafts, "blend", marked=["dual_a"]).raw["members"] == ("dual_a",)


def test_what_has_gone_meanwhile_is_no_part_of_a_draft(place: Path) -> None:
    drafts: Any = {}
    job = Job("j1", JobSpec("train", "big", ()), State.RUNNING, progress=Progress(1, 9, "epochs", "training"))
    state = opened(drafts, "evaluate", current="plain_a", jobs=[job], gpus=[("GPU-1", "0")])
    for key, value in (("after", "j1"), ("gpu", "GPU-1"), ("run", "dual_a"), ("tta", "d4")):
        state.update(key, value)
    state.keep_draft()
    (place / "runs" / "dual_a" / "checkpoints" / "best.pt").unlink()
    again = opened(drafts, "evaluate", current="plain_a")
    assert [again.raw[key] for key in ("after", "gpu", "run", "tta")] == ["", "none", "plain_a", "d4"]
