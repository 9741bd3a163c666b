"""The keys l and c on the board: log and curve of a run, launched by the queue or not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from engine.contract.events import format_event
from engine.contract.names import EVENTS, JOBS, LOG
from tests.app.piloting import MakeApp, notes, opened, screen_text, until
from tests.app.samples import NOW, make_job
from xray_tui.app.app import XrayApp
from xray_tui.app.messages import JobsChanged
from xray_tui.jobs.model.job import State
from xray_tui.widgets.live_log import LiveLog


@pytest.fixture
def app(make_app: MakeApp, runs: Path, monkeypatch: pytest.MonkeyPatch) -> XrayApp:
    """The app on a run with a job, a run with events only and a run with neither, in the board's order."""
    monkeypatch.delattr("xray_tui.feeds.job_files.Follow.start")
    (runs / JOBS / "j1").mkdir(parents=True)
    (runs / JOBS / "j1" / LOG).write_text("hello from the job\n")
    for run, dice in (("blend_dual_presence_valjoint", 0.3), ("dg_aug_seeds/seed_42", 0.2)):
        lines = format_event("start", NOW - 60, epochs=2, steps=4, step=0)
        lines += format_event("step", NOW - 50, step=2, steps=4, loss=0.7, lr=1e-3)
        lines += format_event("epoch", NOW - 40, epoch=1, epochs=2, loss=0.7, val={"dice_pos": dice}, best=True)
        (runs / run / EVENTS).write_text(lines)
    return make_app()


JOB = (
    make_job("j2", "blend_dual_presence_valjoint", State.SUCCEEDED, kind="evaluate"),
    make_job("j1", "blend_dual_presence_valjoint", State.SUCCEEDED),
)


async def test_l_shows_the_log_of_the_runs_training_and_escape_leads_back_to_the_board(app: XrayApp) -> None:
    async with app.run_test(size=(100, 30)) as pilot:
        board = await opened(pilot)
        app.post_message(JobsChanged(JOB))
        await pilot.pause()
        await pilot.press("l")
        await until(pilot, lambda: "hello from the job" in screen_text(app))
        assert "Leaderboard" not in screen_text(app)
        assert "✓ succeeded" in screen_text(app)
        app.post_message(JobsChanged((make_job("j3", "new", State.RUNNING), *JOB)))
        await pilot.pause()
        assert "hello from the job" in screen_text(app), "another job takes nothing away"
        await pilot.press("escape")
        await until(pilot, lambda: "started" in screen_text(app))
        assert board.has_focus
        assert "Leaderboard" in screen_text(app)
        assert "hello from the job" not in screen_text(app)


async def test_a_run_without_a_job_shows_its_epochs_and_one_without_events_says_so(app: XrayApp) -> None:
    async with app.run_test(size=(100, 30)) as pilot:
        await opened(pilot)
        await pilot.press("j", "l")
        await until(pilot, lambda: "epoch 1/2  loss 0.700  Dice .200  best  20s" in screen_text(app))
        assert "The run has no job here; its epochs, from events.jsonl:" in screen_text(app)
        await pilot.press("escape", "j", "l")
        await until(pilot, lambda: "it has no events.jsonl either, so there is no log" in screen_text(app))
        await pilot.press("c")
        await until(pilot, lambda: "No loss and no validation yet." in screen_text(app))
        await pilot.press("o")
        await until(pilot, lambda: "There is no log to open" in notes(app))


async def test_c_shows_the_curves_of_the_run_and_of_the_marked_runs(app: XrayApp) -> None:
    async with app.run_test(size=(120, 40)) as pilot:
        board = await opened(pilot)
        await pilot.press("space", "c")
        await until(pilot, lambda: "▸dg_aug_seeds/seed_42  blend_dual_presence_valjoint" in screen_text(app))
        await until(pilot, lambda: "Dice_pos 0.2, best 0.2 @ 1" in screen_text(app))
        assert "learning rate" in screen_text(app)
        await pilot.press("z")
        await until(pilot, lambda: "Dice_pos 0.3, best 0.3 @ 1" in screen_text(app))
        await pilot.press("enter")
        assert board.has_focus
        assert not app.screen.has_class("-curve"), "the panel of the jobs is as it was"


async def test_o_opens_the_events_of_a_run_without_a_job(
    app: XrayApp, monkeypatch: pytest.MonkeyPatch, runs: Path
) -> None:
    paged: list[Path] = []
    monkeypatch.setattr("xray_tui.logs.pager.page", lambda pager, path: paged.append(path))
    monkeypatch.setattr("xray_tui.logs.pager.find_pager", lambda: ["less"])
    monkeypatch.setattr("xray_tui.app.app.XrayApp.suspend", lambda app: open(os.devnull))  # noqa: SIM115
    async with app.run_test(size=(100, 30)) as pilot:
        await opened(pilot)
        await pilot.press("j", "l")
        await until(pilot, lambda: "epoch 1/2" in screen_text(app))
        assert pilot.app.screen.query_one(LiveLog).has_focus
        await pilot.press("o")
        await until(pilot, lambda: paged == [runs / "dg_aug_seeds/seed_42" / EVENTS])
