"""The keys that act on runs: look at images, compare, write the cases page, copy the path, open the config."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from engine.contract.names import CONFIG
from engine.contract.text import clean
from xray_tui.app.messages import Notice
from xray_tui.app.terminal_app import TerminalApp

if TYPE_CHECKING:
    from xray_tui.app.services import Services
    from xray_tui.board.model import Row
    from xray_tui.screens.dashboard import DashboardScreen
    from xray_tui.screens.images import Source


class RunKeys(TerminalApp):
    """The part of the app that acts on the run of the run screen or under the board's cursor, and on marked runs."""

    runs: Path | None
    services: Services
    _dashboard: DashboardScreen

    @property
    def _row(self) -> Row | None:
        """The row of the run screen if it is open, otherwise that under the board's cursor; without one, say so."""
        row: Row | None = getattr(self.screen, "row", None) or self._dashboard.board.row
        if row is None or self.runs is None:
            self.say("There is no run under the cursor")
        return row

    def action_images(self) -> None:
        """Show the test images of the run, or of two marked runs side by side."""
        from xray_tui.screens.images import ImagesScreen

        marked = self._dashboard.board.marked_rows
        if (row := self._row) is not None and self.runs is not None:
            two = len(marked) == 2 and self.screen is self._dashboard
            self.push_screen(ImagesScreen(_sources(self.runs, marked if two else [row])))

    def action_compare(self) -> None:
        """Compare the marked runs with the best of them."""
        from xray_tui.screens.compare import CompareScreen

        marked = self._dashboard.board.marked_rows
        if self.runs is None or len(marked) < 2:
            self.say("Mark two or more runs with the space bar to compare them")
        else:
            self.push_screen(CompareScreen(_sources(self.runs, marked)))

    async def action_evaluate_run(self) -> None:
        """Open the form that evaluates the run whose images cannot be drawn, or the run under the cursor."""
        board, failed = self._dashboard.board, getattr(self.screen, "failed", None)
        if failed in board.shown_runs:
            board.move_to(board.shown_runs.index(failed))
        await self.run_action("app.launch('evaluate')")

    def action_cases(self) -> None:
        """Write the page of the worst test images into the folder of the run."""
        if (row := self._row) is not None and self.runs is not None:
            self.say("Drawing the page of cases …")
            page = self.runs / row.run / "cases.html"
            self.services.run_action(partial(write_cases, self.runs / row.artifact.path, page))

    def action_copy_path(self) -> None:
        """Send the path of the run's folder to the terminal's clipboard, which never answers, and show it."""
        if (row := self._row) is not None and self.runs is not None:
            path = clean(str(self.runs / row.run))
            self.copy_to_clipboard(path)
            self.say(f"Sent to the clipboard: {path}")

    def action_open_config(self) -> None:
        """Show the run's config in the editor or pager, which controls the terminal until it exits."""
        if (row := self._row) is not None and self.runs is not None:
            config = self.runs / row.run / CONFIG
            self.show_in_pager(config, f"{config}: there is no config to open", "EDITOR", "PAGER")


def _sources(runs: Path, rows: Sequence[Row]) -> list[Source]:
    from xray_tui.screens.images import Source

    return [Source(row.run, runs / row.artifact.path) for row in rows]


def write_cases(artifact: Path, page: Path) -> Notice:
    """Run `xray-engine cases`, in a background thread."""
    from xray_tui.feeds.engine_command import EngineCommand

    output, problem = EngineCommand("cases", artifact, "--missed", "--false-positives", "--output", page).finish()
    return Notice(problem, "error") if problem else Notice(clean(f"Written for a browser: {output.splitlines()[-1]}"))
