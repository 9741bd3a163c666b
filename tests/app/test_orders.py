"""Jobs held, released, moved and resumed by keys: real jobs, looked after as always, on a machine without a GPU."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.app.piloting import until
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
    monkeypatch.setattr("xray_tui.gpu.sampler.Sampler.start", lambda sampler: None)
    monkeypatch.setattr("xray_tui.feeds.host_feed.HostFeed.start", lambda feed: None)
    return XrayApp(place.runs, Settings(lease_dir=place.leases))


async def test_a_held_job_is_released_by_a_key_and_a_running_one_is_not_held(app: XrayApp, place: Place) -> None:
    job = place.launcher().launch(JobSpec("evaluate", "a", ("until", str(place.folder / "go")), "none"), hold=True)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await until(pilot, lambda: bool(app._jobs))
        assert app._jobs[0].state is State.HELD
        app._dashboard.jobs.focus()
        await pilot.press("H")
        await until(pilot, lambda: app._jobs[0].state is State.RUNNING)
        await pilot.press("H")
        await until(pilot, lambda: any("only a waiting job" in note.message for note in app._notifications))
        (place.folder / "go").touch()
        await until(pilot, lambda: app._jobs[0].state is State.SUCCEEDED)
        await pilot.press("R")
        await until(pilot, lambda: any("only a training" in note.message for note in app._notifications))
        await pilot.press("[")
        await until(
            pilot, lambda: any("only a waiting job can be moved" in note.message for note in app._notifications)
        )
    assert place.until(job).state is State.SUCCEEDED


async def test_jobs_that_are_held_are_moved_by_a_key(app: XrayApp, place: Place) -> None:
    for run in "abc":
        place.launcher().launch(JobSpec("evaluate", run, ("succeed",), "none"), hold=True)

    def shown() -> str:
        return "".join(job.spec.run for job in app._dashboard.jobs._jobs)

    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: shown() == "abc")
        app._dashboard.jobs.focus()
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
        await until(pilot, lambda: bool(app._jobs))
        await pilot.press("R")
        says = "queued again; it has no checkpoint and starts from the beginning"
        await until(pilot, lambda: any(says in note.message for note in app._notifications))
        await until(pilot, lambda: app._jobs[0].attempt == 2)
        await until(pilot, lambda: app._jobs[0].state is State.FAILED)
