"""A screen of lines to read: scrolls like the log, closes with Escape or `q`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.content import Content
from textual.screen import ModalScreen

from xray_tui.commands import bindings
from xray_tui.widgets.log_view import LogView


class TextScreen(ModalScreen[None]):
    """Lines under a title. They are clean already."""

    CSS_PATH = "../styles/dialogs.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("text")]

    def __init__(self, title: str, lines: Sequence[str], empty: str = "") -> None:
        super().__init__()
        self._title = title
        self._lines = lines
        self._empty = empty

    def compose(self) -> ComposeResult:
        view = LogView(follow=False, empty=self._empty, id="text")
        view.border_title = Content.styled(self._title, "bold")
        view.border_subtitle = Content("j k move · esc closes")
        yield view

    def on_mount(self) -> None:
        view = self.query_one("#text", LogView)
        view.show(self._lines)
        view.focus()

    def action_close(self) -> None:
        self.dismiss(None)
