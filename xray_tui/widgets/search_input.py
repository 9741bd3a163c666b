"""The lines in which the leaderboard's filter, and a search in a log, are typed."""

from __future__ import annotations

from textual import events

from xray_tui.widgets.clean_input import CleanInput

LONGEST = 200
"""Characters that a paste may bring."""


class WordsLine(CleanInput):
    """Some words, on one line whatever is pasted."""

    def _on_paste(self, event: events.Paste) -> None:
        event.prevent_default()
        event.stop()
        self.insert_text_at_cursor(event.text.split("\n")[0][:LONGEST])


class FilterLine(WordsLine):
    """Words that a run's name or file must hold."""

    def __init__(self, words: str, id: str | None = None) -> None:
        super().__init__(words, placeholder="words in a run's name or file", id=id, select_on_focus=False)


class SearchLine(WordsLine):
    """Words that a line of the log must hold. Those of the last search are there to be typed over."""

    def __init__(self, words: str, id: str | None = None) -> None:
        super().__init__(words, placeholder="words in the log; enter goes to them", id=id)
