"""Which runs the evaluation form offers: those with a checkpoint, and those that a training will give one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from textual.pilot import Pilot

from xray_tui.jobs.model.job import Job, JobSpec, State

from .place import FormApp, focus, offered, row, settle, text
from .test_launches import opened

pytestmark = pytest.mark.usefixtures("place")
QUEUED = Job("j1", JobSpec("train", "next", ()), State.QUEUED)
RUNNING = Job("j2", JobSpec("train", "plain_a", ()), State.RUNNING)
OTHER = Job("j3", JobSpec("blend", "mix", ()), State.QUEUED)
COMMAND, SUMMARY = "#form-command-text", "#form-summary"


async def choose(pilot: Pilot[Any], app: FormApp, key: str, value: str) -> None:
    row(app, key).control.value = value
    await settle(pilot)


async def test_a_run_whose_training_waits_is_offered_and_evaluated_after_it() -> None:
    app = FormApp("evaluate", jobs=[QUEUED, OTHER, replace(QUEUED, state=State.FAILED)])
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(pilot)
        assert offered(app, "run") == ["dual_a", "plain_a", "next  after its training, which is queued"]
        focus(app, "run")
        await pilot.press("right", "right")
        await settle(pilot)
        assert text(app, SUMMARY) == "✓ ready: F5 launches"
        command = "xray-tui launch evaluate --runs runs --gpu none --after j1 -- --run runs/next"
        assert text(app, COMMAND).startswith(command)
        await pilot.press("f5")
    (launch,) = app.results
    assert [(spec.run, spec.after) for spec in launch.specs] == [("next", ("j1",))]


async def test_another_run_takes_the_training_back_unless_it_was_chosen() -> None:
    app = FormApp("evaluate", current="next", jobs=[QUEUED, OTHER])
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(pilot, app)
        assert row(app, "after").control.value == "j1"
        await choose(pilot, app, "run", "dual_a")
        assert row(app, "after").control.value == ""
        await choose(pilot, app, "after", "j3")
        await choose(pilot, app, "run", "next")
        assert row(app, "after").control.value == "j3"
        said = "after: next has no checkpoints/best.pt yet; expected its training, which is queued"
        assert text(app, SUMMARY) == f"✗ {said}"
        await choose(pilot, app, "after", "j1")
        assert text(app, SUMMARY) == "✓ ready: F5 launches"


async def test_a_run_with_a_checkpoint_that_is_still_in_training_can_be_evaluated_at_once() -> None:
    app = FormApp("evaluate", current="plain_a", jobs=[RUNNING])
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(pilot, app)
        assert offered(app, "run")[1] == "plain_a  after its training, which is running"
        assert row(app, "after").control.value == "j2"
        await choose(pilot, app, "after", "")
        assert text(app, SUMMARY) == "✓ ready: F5 launches"
        focus(app, "run")
        await pilot.press("f5")
    assert app.results[0].specs[0].after == ()
