"""The news screen: what has happened in the runs folder while one was away."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xray_tui.screens.text_screen import WIDTH, TextScreen
from xray_tui.status.report import lines
from xray_tui.system.process import user

if TYPE_CHECKING:
    from xray_tui.status.report import Report


class NewsScreen(TextScreen):
    """What ended and why, what runs, what waits, what is new on the board."""

    def __init__(self, told: Report) -> None:
        super().__init__("While you were away", lines(told, WIDTH, user()))
