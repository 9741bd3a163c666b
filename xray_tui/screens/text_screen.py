"""A read-only text screen that scrolls like the log and closes with Escape or `q`."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.content import Content
from textual.screen import ModalScreen

from xray_tui.keymap import bindings
from xray_tui.widgets.log_view import LogView

WIDTH = 73
"""Width of a line in cells; fits into a terminal of 80 columns."""


def wrapped(text: str, indent: str = "", more: str = "  ") -> list[str]:
    """The text in lines of at most WIDTH characters; `indent` starts the first line, `more` the others."""
    return textwrap.wrap(text, WIDTH, initial_indent=indent, subsequent_indent=more, break_on_hyphens=False)


class TextScreen(ModalScreen[str]):
    """Shows lines under a title; all must have passed `clean`."""

    CSS_PATH = "../styles/dialogs.tcss"
    covers = True
    """Whether the screen hides the dashboard."""
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("text")]

    def __init__(self, title: str, lines: Sequence[str], empty: str = "") -> None:
        super().__init__()
        self._view = LogView(follow=False, empty=empty, id="text")
        self._view.border_title = Content.styled(title, "bold")
        self._lines = lines

    def compose(self) -> ComposeResult:
        yield self._view

    def on_mount(self) -> None:
        self.show(self._lines)
        self._view.focus()

    def on_resize(self) -> None:
        self.call_after_refresh(self._name_keys)

    def show(self, lines: Sequence[str]) -> None:
        """Replace the lines."""
        self._view.show(lines)
        self.call_after_refresh(self._name_keys)

    def _name_keys(self) -> None:
        sideways = "← → " if self._view.max_scroll_x else ""
        self._view.border_subtitle = Content(f"j k {sideways}move · esc closes")
