"""A screen that closes while its thread or a delayed call still runs does not end the app."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from threading import Event

import pytest
from textual.app import App, ComposeResult
from textual.css.query import NoMatches
from textual.screen import Screen
from textual.widgets import Static
from textual.worker import WorkerState

from tests.app.piloting import PATIENCE, MakeApp, until
from xray_tui.forms.save_dialog import SaveScreen
from xray_tui.screens.text_screen import TextScreen
from xray_tui.system.error_log import error_log


async def test_lines_that_arrive_after_a_text_screen_has_closed_are_ignored(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test() as pilot:
        screen = TextScreen("Run", ["before"])
        await app.push_screen(screen)
        screen.call_after_refresh(screen._name_keys)  # as on_mount and on_resize do
        await app.pop_screen()
        screen.show(["after"])
        screen._name_keys()
        await pilot.pause()
        assert app.is_running


@pytest.mark.parametrize("fails", [False, True])
async def test_a_config_that_is_saved_while_the_dialog_closes_does_not_touch_its_widgets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: bool
) -> None:
    go_on, ends = Event(), []

    def write(path: Path) -> None:
        go_on.wait(10)
        if fails:
            raise OSError("no space left")

    async def write_now(screen: SaveScreen) -> None:  # the widgets are gone, the worker is not cancelled yet
        worker = next(worker for worker in screen.workers if worker.group == "save")
        go_on.set()
        while not worker.is_finished:
            await asyncio.sleep(0.01)
        ends.append(worker.state)

    monkeypatch.setattr(SaveScreen, "on_unmount", write_now, raising=False)
    app: App[None] = App()
    async with app.run_test() as pilot:
        screen = SaveScreen(str(tmp_path / "mine"), write)
        await app.push_screen(screen)
        await pilot.press("enter")
        app.pop_screen()
        await until(pilot, lambda: bool(ends))
    assert ends == [WorkerState.SUCCESS]


class Late(Static):
    """Reads something while it is mounted, and then looks for a part of its screen."""

    def __init__(self) -> None:
        super().__init__()
        self.read = asyncio.Event()

    async def on_mount(self) -> None:
        await self.read.wait()
        self.screen.query_one("#part")


class Opening(Screen[None]):
    def __init__(self) -> None:
        super().__init__()
        self.late = Late()

    def compose(self) -> ComposeResult:
        yield self.late


@pytest.mark.parametrize("exits", [True, False])
async def test_an_error_of_a_widget_that_is_still_being_mounted_is_only_logged_while_the_app_exits(
    make_app: MakeApp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exits: bool
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    app, screen = make_app(), Opening()
    with nullcontext() if exits else pytest.raises(NoMatches):
        async with app.run_test():
            app.push_screen(screen)
            await becomes(lambda: screen.late.is_running)
            if exits:
                app.exit()
            screen.late.read.set()
            await becomes(lambda: not screen.late.is_running)
    assert (app.failure is None) == exits
    assert (error_log().exists() and "NoMatches" in error_log().read_text()) == exits


async def becomes(true: Callable[[], bool]) -> None:
    """Wait without the pilot, whose pause waits for the widget that is still being mounted."""
    async with asyncio.timeout(PATIENCE):
        while not true():
            await asyncio.sleep(0.01)
