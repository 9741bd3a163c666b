"""The lines below the command, which say before Enter what the job will find and take."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from threading import Event, current_thread, main_thread

import pytest
from textual.pilot import Pilot
from textual.widgets import Button

from engine.contract.text import clean
from xray_tui.forms.options import Launch
from xray_tui.forms.preflight_lines import make_preflight, short_lines
from xray_tui.gpu.snapshot import GpuSnapshot
from xray_tui.jobs.model.job import JobSpec
from xray_tui.jobs.preflight.checks import Check
from xray_tui.jobs.preflight.preflight import Outlook
from xray_tui.screens.confirm import ConfirmScreen
from xray_tui.settings import Settings

from .place import PLAIN, RUNS, FormApp, focus, settle, text, type_over, write

pytestmark = pytest.mark.usefixtures("place")
LINES, SUMMARY = "#form-outlook", "#form-summary"
PATIENCE = 20.0


async def until(pilot: Pilot[None], holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline
        await pilot.pause(0.02)


def real_look(place: Path) -> Callable[[Launch], Outlook]:
    return make_preflight(RUNS, Settings(lease_dir=place / "leases"), GpuSnapshot)


async def test_the_verdict_is_what_is_missing_and_no_line_repeats_it(place: Path) -> None:
    app = FormApp("train", preflight=real_look(place))
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(pilot)
        await pilot.press("right")  # the recipe whose data is there, without a row
        await until(pilot, lambda: "no image of split train and val" in text(app, SUMMARY))
        assert text(app, SUMMARY).startswith(f"✗ data: {place}/data/manifest.csv: no image of")
        assert "data" not in text(app, LINES)


def fill(place: Path) -> None:
    """Give the manifest an image of each split."""
    rows = "".join(f"{split},images/1.png,,0,{split}\n" for split in ("train", "val", "test"))
    (place / "data/manifest.csv").write_text(f"id,image,mask,fractured,split\n{rows}")
    (place / "data/images").mkdir()
    (place / "data/images/1.png").touch()


@pytest.mark.parametrize("first_missing", ["data/manifest.csv", "data/images/1.png"])
async def test_a_verdict_follows_the_files_while_the_form_is_open(place: Path, first_missing: str) -> None:
    fill(place)
    missing, away = place / first_missing, place / "away"
    missing.rename(away)
    write(place / "runs/plain_a/config.yaml", PLAIN | {"data": {"manifest": "../../data/manifest.csv"}})
    app = FormApp("evaluate", current="plain_a", preflight=real_look(place))
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: text(app, SUMMARY).startswith("✗ data: "))
        away.rename(missing)
        await until(pilot, lambda: text(app, SUMMARY) == "✓ ready: F5 launches")
        missing.rename(away)
        await until(pilot, lambda: text(app, SUMMARY).startswith("✗ data: "))


async def test_a_launch_that_would_fail_is_asked_about_and_no_leads_back_to_the_form(place: Path) -> None:
    app = FormApp("evaluate", current="plain_a", preflight=real_look(place))
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: text(app, SUMMARY).startswith("✗ data: "))
        await pilot.press("f5")
        await until(pilot, lambda: isinstance(app.screen, ConfirmScreen))
        (why,) = app.screen.query(".more")
        assert re.match("✗ data: .*/data/manifest.csv: No such file or directory", str(why.render()))
        await pilot.press("enter")
        assert app.screen is app.form
        assert app.results == []
        await pilot.press("f5", "y")
    assert [spec.run for spec in app.results[0].specs] == ["plain_a"]


async def test_two_clicks_on_launch_ask_once() -> None:
    app = FormApp("train", preflight=lambda launch: Outlook((Check("✗", "data: gone"),)))
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: text(app, SUMMARY) == "✗ data: gone")
        for _ in range(2):
            app.form.post_message(Button.Pressed(app.form.query_one(Button)))
        await until(pilot, lambda: isinstance(app.screen, ConfirmScreen))
        await pilot.press("n")
        await settle(pilot)
        assert app.screen is app.form


async def test_a_form_is_not_ready_before_its_files_were_looked_at_and_a_hanging_look_does_not_prevent_the_launch() -> (
    None
):
    go_on = Event()

    def look(launch: Launch) -> Outlook:
        go_on.wait(PATIENCE)
        return Outlook((Check("✗", "data: gone"),))

    app = FormApp("train", preflight=look)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: text(app, SUMMARY).startswith("… checking"))
        await pilot.press("f5")
        assert [spec.run for spec in app.results[0].specs] == ["dual"]
        go_on.set()


async def test_where_all_is_well_one_line_says_so(place: Path) -> None:
    fill(place)
    write(place / "runs/plain_a/config.yaml", PLAIN | {"data": {"manifest": "../../data/manifest.csv"}})
    app = FormApp("evaluate", current="plain_a", preflight=real_look(place))
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(pilot)
        await until(pilot, lambda: text(app, LINES) == "✓ checkpoint, data, TTA h, disk")
        assert not (place / "leases").exists()


async def test_it_looks_in_a_thread_and_once_the_typing_pauses() -> None:
    seen: list[str] = []

    def look(launch: Launch) -> Outlook:
        assert current_thread() is not main_thread()
        seen.append(launch.specs[0].run)
        return Outlook((Check("✓", f"run: {launch.specs[0].run}"),))

    app = FormApp("train", preflight=look)
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await type_over(pilot, app, "run", "a_name_of_many_letters")
        await until(pilot, lambda: bool(seen) and seen[-1] == "a_name_of_many_letters")
        await until(pilot, lambda: not app.form.query_one(LINES).has_class("-old"))
    assert len(seen) < len("a_name_of_many_letters")


async def test_a_look_that_hangs_holds_up_no_key_and_an_old_one_is_not_shown() -> None:
    go_on = Event()

    def look(launch: Launch) -> Outlook:
        if launch.specs[0].run == "dual":
            go_on.wait(PATIENCE)
        return Outlook((Check("!", f"run {launch.specs[0].run}"),))

    app = FormApp("train", preflight=look)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: bool(app.form.query(LINES)) and app.form.query_one(LINES).has_class("-old"))
        await pilot.pause(0.4)
        started = time.monotonic()
        focus(app, "run")
        await pilot.pause()
        await pilot.press("ctrl+u", "b")
        assert time.monotonic() - started < PATIENCE / 2
        await until(pilot, lambda: "run b" in text(app, LINES))
        go_on.set()
        await settle(pilot)
        assert text(app, LINES) == "! run b"


async def test_a_form_with_something_wrong_says_that_alone() -> None:
    app = FormApp("train", preflight=lambda launch: Outlook((Check("✓", "data: fine"),)))
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await until(pilot, lambda: text(app, LINES) == "✓ data")
        await type_over(pilot, app, "training.epochs", "0")
        assert text(app, LINES) == ""


async def test_a_look_that_fails_is_said_in_one_line() -> None:
    def look(launch: Launch) -> Outlook:
        raise OSError("the server \x1b[2J is gone")

    app = FormApp("train", preflight=look)
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await until(pilot, lambda: "could not check" in text(app, LINES))
        assert text(app, LINES) == clean("! could not check: the server \x1b[2J is gone")
        assert text(app, SUMMARY) == "✓ ready: F5 launches"


def test_what_is_wrong_beside_the_verdict_is_said_and_what_is_well_is_named() -> None:
    well, slow = Check("✓", "data: 4 images"), Check("!", "disk: slow")
    assert short_lines(Outlook((well, Check("✓", "disk: 9 GiB")))) == ["✓ data, disk"]
    assert short_lines(Outlook((well, slow))) == ["! disk: slow"]
    assert short_lines(Outlook((Check("✗", "a: gone"), slow, Check("✗", "b: gone")))) == ["! disk: slow", "✗ b: gone"]
    assert short_lines(Outlook((well, Check("✗", "disk: full")))) == []


def test_settings_that_make_no_sense_stop_no_look(place: Path) -> None:
    look = make_preflight(RUNS, Settings(lease_dir=place / "leases", foreign="perhaps"), GpuSnapshot)
    argv = ("evaluate", "--run", os.fspath(RUNS / "plain_a"))
    assert look(Launch((JobSpec("evaluate", "plain_a", argv),))).checks
