"""An app with a pilot at its keys: waiting for what it does by itself, and reading what its screen shows."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from textual.app import App
from textual.pilot import Pilot

from xray_tui.app.app import XrayApp
from xray_tui.app.messages import BoardChanged
from xray_tui.board.index import RunIndex
from xray_tui.board.rank import rank
from xray_tui.screens.dashboard import DashboardScreen
from xray_tui.widgets.leaderboard import Leaderboard

MakeApp = Callable[..., XrayApp]


PATIENCE = 30.0
"""Seconds; a busy machine takes its time, and a quiet one does not need them."""


async def until(pilot: Pilot[None], true: Callable[[], bool]) -> None:
    """Wait for something that the app does by itself."""
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < deadline, f"not true after {PATIENCE:.0f} s"
        await asyncio.sleep(0.01)
    await pilot.pause()


async def opened(pilot: Pilot[None]) -> Leaderboard:
    """The leaderboard, once its first rows are there."""
    board = dashboard(pilot.app).board  # type: ignore[arg-type]
    await until(pilot, lambda: board.row_count > 0)
    return board


def board_of(app: XrayApp) -> BoardChanged:
    """The board of the folder as it is, as the watch would post it."""
    assert app.runs is not None
    return BoardChanged(rank(RunIndex(app.runs).scan()))


def dashboard(app: XrayApp) -> DashboardScreen:
    """The screen below all others, whether it is covered or not."""
    screen = app.get_default_screen()
    assert isinstance(screen, DashboardScreen)
    return screen


def notes(app: XrayApp) -> list[str]:
    """The messages that are shown or waiting, oldest first."""
    return [line for line, _ in app.messages]


def screen_text(app: App[None]) -> str:
    """Everything that is on the screen, a line a row."""
    return "\n".join("".join(part.text for part in strip) for strip in app.screen._compositor.render_strips())
