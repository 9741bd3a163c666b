"""The inputs of the leaderboard filter and of the log search."""

from __future__ import annotations

from textual import events

from xray_tui.widgets.clean_input import CleanInput

MAX_PASTE = 200
"""Characters taken from a paste."""


class WordsInput(CleanInput):
    """An input that takes only the first line of a paste."""

    def _on_paste(self, event: events.Paste) -> None:
        event.prevent_default()
        event.stop()
        self.insert_text_at_cursor(event.text.split("\n")[0][:MAX_PASTE])


class FilterInput(WordsInput):
    """Words that a run's name or file must contain."""

    def __init__(self, words: str, id: str | None = None) -> None:
        super().__init__(words, placeholder="words in a run's name or file", id=id, select_on_focus=False)


class SearchInput(WordsInput):
    """Words that a line of the log must contain. The words of the last search are selected, so that typing replaces
    them."""

    def __init__(self, words: str, id: str | None = None) -> None:
        super().__init__(words, placeholder="words in the log; Enter goes to the first match", id=id)
