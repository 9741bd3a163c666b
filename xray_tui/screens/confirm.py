"""A yes-or-no question; every answer except `y` means no."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from xray_tui.keymap import bindings


class ConfirmScreen(ModalScreen[bool]):
    """Dismisses with True after `y`, with False after `n`, Escape, Enter or `q`."""

    CSS_PATH = "../styles/dialogs.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("question")]

    def __init__(self, question: str, more: str = "", yes: str = "yes", no: str = "no") -> None:
        """The four texts must have passed `clean`."""
        super().__init__()
        self._question = question
        self._more = more
        self._yes = yes
        self._no = no

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            yield Static(Content.styled(self._question, "bold"))
            if self._more:
                yield Static(Content(self._more), classes="more")
            yield Static(
                Content.assemble((" y ", "reverse"), f" {self._yes}    ", (" n ", "reverse"), f" {self._no} (Enter)"),
                classes="answers",
            )
