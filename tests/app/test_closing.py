"""A screen that closes while its thread or a delayed call still runs does not end the app."""

from __future__ import annotations

import asyncio
from pathlib import Path
from threading import Event

import pytest
from textual.app import App
from textual.worker import WorkerState

from tests.app.piloting import MakeApp, until
from xray_tui.forms.save_dialog import SaveScreen
from xray_tui.screens.text_screen import TextScreen


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
