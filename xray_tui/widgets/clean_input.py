"""A line to type in that never sends the terminal what it would act on."""

from __future__ import annotations

from typing import Any

from textual.widgets import Input

from engine.contract.text import clean


class CleanInput(Input):
    """Whatever the value comes from (a paste, the clipboard, a file's name), its control characters are made visible.

    Its cursor does not blink: a blinking one sends bytes over SSH all day.
    """

    def __init__(self, value: str, *, placeholder: str = "", **more: Any) -> None:
        super().__init__(value, compact=True, placeholder=clean(placeholder), **more)
        self.cursor_blink = False

    def validate_value(self, value: str) -> str:
        """As many characters as before: the cursor stays where it is."""
        return clean(value)
