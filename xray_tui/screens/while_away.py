"""The report since the last visit; Enter on a line about a job closes the screen and opens the log of the job."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.content import Content
from textual.screen import ModalScreen
from textual.strip import Strip

from xray_tui.keymap import bindings
from xray_tui.widgets.list_view import ListView


class AwayScreen(ModalScreen[str]):
    """Shows lines, each with the id of its job or "". Returns the id of the job whose log the user wants to read."""

    CSS_PATH = "../styles/dialogs.tcss"
    covers = True
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("text")]

    def __init__(self, entries: Sequence[tuple[str, str]]) -> None:
        super().__init__()
        self._entries = entries

    def compose(self) -> ComposeResult:
        view = ReportList(self._entries, id="text")
        view.border_title = Content.styled("While you were away", "bold")
        view.border_subtitle = Content("enter opens the log of a job · esc closes")
        yield view

    def action_open(self) -> None:
        if job := self._entries[self.query_one(ReportList).cursor][1]:
            self.dismiss(job)


class ReportList(ListView):
    """The lines of the report. The cursor starts on the first line about a job."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings("away")]
    STYLES = "report"
    COMPONENT_CLASSES: ClassVar[set[str]] = {"report--cursor"}

    def __init__(self, entries: Sequence[tuple[str, str]], id: str | None = None) -> None:
        super().__init__(id=id)
        self._entries = entries
        self.set_reactive(ReportList.cursor, next((index for index, (_, job) in enumerate(entries) if job), 0))

    @property
    def row_count(self) -> int:
        return len(self._entries)

    def draw_row(self, index: int, width: int) -> Strip:
        return self.strip_of([(self._entries[index][0], "")], width, index == self.cursor)
