"""The screen that covers the app while the terminal is too small for it."""

from __future__ import annotations

from textual.geometry import Size
from textual.screen import ModalScreen

WIDTH, HEIGHT = 60, 15
"""The smallest usable terminal, in columns and rows."""


class TooSmallScreen(ModalScreen[None]):
    """Closes when the terminal is large enough."""

    CSS_PATH = "../styles/dialogs.tcss"

    def render(self) -> str:
        return f"The terminal is too small: {self.size.width}x{self.size.height}, not {WIDTH}x{HEIGHT}"

    def on_resize(self) -> None:
        if self.is_current and not is_too_small(self.app.size):
            self.dismiss(None)

    on_screen_resume = on_resize


def is_too_small(size: Size) -> bool:
    return size.width < WIDTH or size.height < HEIGHT
