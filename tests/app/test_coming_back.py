"""The app after an absence, and while jobs end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.app.piloting import board_of, dashboard, notes, opened, screen_text, until
from tests.app.samples import NOW, make_job
from xray_tui.app.app import XrayApp
from xray_tui.app.messages import JobsChanged
from xray_tui.feeds.periodic_thread import PeriodicThread
from xray_tui.jobs.model.job import Job, State
from xray_tui.screens.while_away import AwayScreen, ReportList
from xray_tui.status.last_visit import last_use, note_use
from xray_tui.system.process import user

MakeApp = Callable[..., XrayApp]
HOUR = 3600.0


@pytest.fixture(autouse=True)
def _jobs_are_read(make_app: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """`make_app` leaves that out; who comes back is told what the first look at the jobs says."""
    monkeypatch.setattr("xray_tui.feeds.jobs_feed.JobsFeed.start", PeriodicThread.start)


@pytest.fixture(autouse=True)
def own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


async def test_after_an_absence_the_app_tells_once_what_happened(make_app: MakeApp, runs: Path) -> None:
    note_use(runs, NOW - 2 * HOUR)
    app = make_app()
    async with app.run_test() as pilot:
        await until(pilot, lambda: isinstance(app.screen, AwayScreen))
        text = screen_text(app)
        assert "While you were away" in text
        assert "new leader: blend_dual_presence_valjoint" in text
        assert "No job has ended" in text
        await pilot.press("escape")
        assert not isinstance(app.screen, AwayScreen)
    assert last_use(runs, NOW) == NOW
    app = make_app()
    async with app.run_test() as pilot:
        await opened(pilot)
        await until(pilot, lambda: knows_jobs(app))
        assert not isinstance(app.screen, AwayScreen)


async def test_w_opens_the_report_again_and_enter_opens_the_log_of_a_job(make_app: MakeApp, runs: Path) -> None:
    note_use(runs, NOW - 2 * HOUR)
    app = make_app()
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: isinstance(app.screen, AwayScreen))
        await pilot.press("escape")
        failed = make_job("j2", "deeplab_full", State.FAILED, cause="out of memory")
        app.post_message(JobsChanged((make_job("j3", "unet", State.SUCCEEDED, ended=NOW - 20), failed)))
        await pilot.press("w")
        await until(pilot, lambda: isinstance(app.screen, AwayScreen))
        assert "out of memory" in screen_text(app), "up to now"
        assert app.screen.query_one(ReportList).cursor == 3, "on the first job, which failed"
        await pilot.press("g", "enter")
        assert isinstance(app.screen, AwayScreen), "the first line is about no job"
        await pilot.press("j", "j", "j", "enter")
        await until(pilot, lambda: dashboard(app).log_view.has_focus)
        assert dashboard(app).jobs.job == failed


async def test_without_an_earlier_visit_w_says_so(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test() as pilot:
        await until(pilot, lambda: knows_jobs(app))
        await pilot.press("w")
        assert notes(app) == ["No earlier visit to this runs folder is known"]


def knows_jobs(app: XrayApp) -> bool:
    """Whether the absence has been looked at."""
    return app.services.welcome_back is not None and app.services.welcome_back._noted is not None


@pytest.mark.parametrize("away", [None, 600.0, 0.0])
async def test_who_was_never_here_or_just_now_is_told_nothing(
    make_app: MakeApp, runs: Path, away: float | None
) -> None:
    if away is not None:
        note_use(runs, NOW - away)
    app = make_app()
    async with app.run_test() as pilot:
        await until(pilot, lambda: knows_jobs(app))
        assert not isinstance(app.screen, AwayScreen)


async def test_an_absence_without_news_is_passed_over(make_app: MakeApp, tmp_path: Path) -> None:
    (empty := tmp_path / "empty").mkdir()
    note_use(empty, NOW - 9 * HOUR)
    app = make_app(empty)
    async with app.run_test() as pilot:
        await until(pilot, lambda: knows_jobs(app))
        assert not isinstance(app.screen, AwayScreen)


async def test_a_key_notes_that_somebody_is_here(
    make_app: MakeApp, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = make_app()
    async with app.run_test() as pilot:
        await until(pilot, lambda: knows_jobs(app))
        monkeypatch.setattr("time.time", lambda: NOW + HOUR)
        await pilot.press("j")
        await until(pilot, lambda: last_use(runs, NOW + HOUR) == NOW + HOUR)


async def test_what_was_opened_meanwhile_is_not_covered_by_the_news(make_app: MakeApp, runs: Path) -> None:
    from xray_tui.app.messages import AwaySummary
    from xray_tui.status.report import build_report

    app = make_app()
    async with app.run_test() as pilot:
        await opened(pilot)
        await pilot.press("?")
        above = app.screen
        app.post_message(AwaySummary(build_report((), board_of(app).board, NOW - 2 * HOUR, NOW)))
        await pilot.pause()
        assert app.screen is above
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, AwayScreen))


def running(identity: str, **more: object) -> Job:
    return make_job(identity, f"run_{identity}", State.RUNNING, user=user(), **more)


@pytest.fixture
def rung(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A mark for each time that the terminal's bell rings."""
    rung: list[str] = []
    monkeypatch.setattr("textual.app.App.bell", lambda app: rung.append("ding"))
    return rung


@pytest.mark.parametrize("bell", [True, False])
async def test_the_end_of_jobs_rings_once_and_is_one_line(make_app: MakeApp, rung: list[str], bell: bool) -> None:
    app = make_app(bell=bell)
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: knows_jobs(app))
        before = (running("a"), running("b"), running("c"))
        app.post_message(JobsChanged(before))
        await pilot.pause()
        assert not rung
        after = [replace(job, state=State.SUCCEEDED, ended=NOW) for job in before[:2]]
        app.post_message(JobsChanged((*after, before[2])))
        await until(pilot, lambda: "2 jobs have ended: 2 succeeded" in screen_text(app))
        assert rung == ["ding"] * bell
        app.post_message(JobsChanged((*after, replace(before[2], state=State.FAILED, ended=NOW, cause="NaN loss"))))
        await until(pilot, lambda: "train run_c: failed: NaN loss" in screen_text(app))
        assert rung == ["ding", "ding"] * bell
