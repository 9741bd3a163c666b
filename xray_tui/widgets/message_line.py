"""The message line above the key bar; it takes no space while there is no message."""

from __future__ import annotations

from dataclasses import dataclass

from textual.content import Content
from textual.message import Message
from textual.widgets import Static

SIGNS = {"information": " ", "warning": " ! ", "error": " ✗ "}


class MessageLine(Static):
    """Shows the app's newest message. On a screen without this line, the messages wait."""

    @dataclass
    class Ready(Message):
        """The line can show a message."""

    def on_mount(self) -> None:
        self.post_message(self.Ready())

    def show(self, text: str, severity: str = "information") -> None:
        """Show a message, or hide the line if the text is empty."""
        self.display = bool(text)
        self.set_class(severity != "information", "-warning")
        self.update(Content(SIGNS[severity] + text))
