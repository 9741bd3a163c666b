"""An input that never sends control characters to the terminal."""

from __future__ import annotations

from typing import Any

from textual.widgets import Input

from engine.contract.text import clean


class CleanInput(Input):
    """Makes control characters visible, whether they come from a paste, the clipboard or a file name.

    The cursor does not blink, because each blink sends bytes over SSH.
    """

    def __init__(self, value: str, *, placeholder: str = "", **more: Any) -> None:
        super().__init__(value, compact=True, placeholder=clean(placeholder), **more)
        self.cursor_blink = False

    def validate_value(self, value: str) -> str:
        """Clean the value. The length does not change, so the cursor stays in place."""
        return clean(value)
