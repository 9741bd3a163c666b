"""The line in which the leaderboard's filter is typed."""

from __future__ import annotations

from textual import events
from textual.widgets import Input

from engine.contract.text import clean


class FilterLine(Input):
    """Words that a run's name or file must hold. What is pasted is cleaned: an Input would send it raw."""

    def __init__(self, words: str, id: str | None = None) -> None:
        super().__init__(words, placeholder="words in a run's name or file", id=id, compact=True, select_on_focus=False)
        self.cursor_blink = False
        self.border_title = "Filter"

    def _on_paste(self, event: events.Paste) -> None:
        event.prevent_default()
        event.stop()
        self.insert_text_at_cursor(clean(event.text.split("\n")[0])[:200])
