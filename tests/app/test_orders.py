"""Jobs held, released, moved and resumed by keys: real jobs on no GPU, real supervisors, and all feeds of the app."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.app.piloting import dashboard, notes, screen_text, until
from tests.jobs.conftest import Place
from xray_tui.app.app import XrayApp
from xray_tui.jobs.model.job import JobSpec, State
from xray_tui.settings import Settings


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    place = Place(tmp_path)
    yield place
    place.clear()


@pytest.fixture
def app(place: Place, monkeypatch: pytest.MonkeyPatch) -> XrayApp:
    """The app with its real job feed; the fixture of this room fixes the clock, which real jobs need to run."""
    monkeypatch.undo()
    monkeypatch.setenv("XDG_CONFIG_HOME", str(place.folder / "config"))
    return XrayApp(place.runs, Settings(lease_dir=place.leases))


def state(app: XrayApp) -> State | None:
    """The state of the job under the cursor."""
    job = dashboard(app).jobs.job
    return job.state if job else None


async def test_a_held_job_is_released_by_a_key_and_a_running_one_is_not_held(app: XrayApp, place: Place) -> None:
    job = place.launcher().launch(JobSpec("evaluate", "a", ("until", str(place.folder / "go")), "none"), hold=True)
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: state(app) is State.HELD)
        dashboard(app).jobs.focus()
        await pilot.press("H")
        await until(pilot, lambda: state(app) is State.RUNNING)
        await pilot.press("H")
        await until(pilot, lambda: any("hold expects a waiting job" in note for note in notes(app)))
        (place.folder / "go").touch()
        await until(pilot, lambda: state(app) is State.SUCCEEDED)
        await pilot.press("R")
        await until(pilot, lambda: any("only a training" in note for note in notes(app)))
        await pilot.press("[")
        await until(pilot, lambda: any("move expects a waiting job" in note for note in notes(app)))
    assert place.until(job).state is State.SUCCEEDED


async def test_jobs_that_are_held_are_moved_by_a_key(app: XrayApp, place: Place) -> None:
    for run in "abc":
        place.launcher().launch(JobSpec("evaluate", run, ("succeed",), "none"), hold=True)

    def shown() -> str:
        return "".join(re.findall(r" evaluate +([abc]) ", screen_text(app)))

    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: shown() == "abc")
        dashboard(app).jobs.focus()
        await pilot.press("G", "[")
        await until(pilot, lambda: shown() == "acb")
        await pilot.press("[")
        await until(pilot, lambda: shown() == "cab")
        await pilot.press("]")
        await until(pilot, lambda: shown() == "acb")


async def test_a_failed_training_is_resumed_by_a_key(app: XrayApp, place: Place) -> None:
    job = place.launch("without_record", kind="train", run="b")
    place.until(job)
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: dashboard(app).jobs.row_count == 1)
        await pilot.press("3", "R")
        says = "queued again; it has no checkpoint and starts from the beginning"
        await until(pilot, lambda: any(says in note for note in notes(app)))
        await until(pilot, lambda: dashboard(app).jobs.job.attempt == 2)
        await until(pilot, lambda: state(app) is State.FAILED)
