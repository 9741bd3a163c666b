"""The screen that reports what happened in the runs folder while the user was away."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xray_tui.screens.text_screen import WIDTH, TextScreen
from xray_tui.status.report import lines
from xray_tui.system.process import user

if TYPE_CHECKING:
    from xray_tui.status.report import Report


class WhileAwayScreen(TextScreen):
    """Ended, running and waiting jobs, and new results on the board."""

    def __init__(self, report: Report) -> None:
        super().__init__("While you were away", lines(report, WIDTH, user()))
