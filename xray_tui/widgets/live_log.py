"""The searchable last lines of a job's log."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from typing import ClassVar

from rich.cells import cell_len
from rich.segment import Segment
from textual.binding import BindingType
from textual.content import Content
from textual.strip import Strip

from engine.contract.text import clean
from xray_tui.keymap import bindings
from xray_tui.logs.log_file import NO_LOG, Log
from xray_tui.widgets.format import cut_end
from xray_tui.widgets.log_view import LogView

LONGEST_QUERY = 24
"""Width in cells to which the query is cut in the message about a failed search."""
MOST_MARKS = 200
"""Maximum number of matches to mark in one line, because a full stop matches thousands of times in some lines."""


class LiveLog(LogView):
    """Follows the end of a log and marks the matches of a search."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings("reading")]
    COMPONENT_CLASSES: ClassVar[set[str]] = {"log--match", "log--found"}

    def __init__(self, empty: str = "", id: str | None = None, classes: str | None = None) -> None:
        super().__init__(empty=empty, id=id, classes=classes)
        self._log = NO_LOG
        self.words = ""
        """The query of the last search."""
        self._pattern: re.Pattern[str] | None = None
        """Pattern of the text to mark."""
        self._match: int | None = None
        """Index of the line that the last search found."""
        self._missed = False
        """Whether the last search found no line."""

    # Content

    def show_nothing(self, empty: str) -> None:
        """Show only the text `empty`, until the next `show_log`."""
        self.end_search()
        self.show_log(NO_LOG, empty)

    def show_log(self, log: Log, empty: str) -> None:
        """Show the lines of this log, or the text `empty` if there are none."""
        before, dropped = self._log, log.dropped - self._log.dropped
        if (log, empty) == (before, self._empty):
            return
        self._log, self.lines, self._empty = log, log.lines, empty
        if log.edition != before.edition:
            self._at_end, self._match, self._missed = True, None, False
        elif dropped:
            self._match = None if self._match is None or self._match < dropped else self._match - dropped
            if not self._at_end:
                self.scroll_to(y=max(0, self.scroll_target_y - dropped), animate=False)
        self._resized(log.width)
        self.show_position()

    def draw_row(self, index: int) -> Strip:
        line, style = self.lines[index], self.rich_style
        marked = self.get_component_rich_style("log--found" if index == self._match else "log--match")
        segments, at = [], 0
        for start, end in self._matches(line):
            segments += [Segment(line[at:start], style), Segment(line[start:end], marked)]
            at = end
        return Strip([*segments, Segment(line[at:], style)])

    @property
    def _top(self) -> int:
        return round(self.scroll_target_y)

    def _in_view(self, line: int) -> bool:
        return self._top <= line < self._top + self.size.height

    def show_position(self) -> None:
        """Show a failed search, or the position in a log that is longer than the view."""
        total, cut, text = len(self.lines), self._log.cut, ""
        if self._missed:
            text = f"no match for {cut_end(clean(self.words), LONGEST_QUERY)}"
        elif self._at_end and cut:
            text = f"last {total:,} of the log; o opens all of it"
        elif self._at_end and total > self.size.height:
            text = f"{total:,} lines"
        elif total > self.size.height:
            line = self._match if self._match is not None and self._in_view(self._match) else self._top
            text = f"line {line + 1:,} of {'the last ' if cut else ''}{total:,}"
        self.border_subtitle = Content(text)

    # Search

    @property
    def searches(self) -> bool:
        """Whether a search is active."""
        return self._pattern is not None

    def highlight(self, words: str) -> None:
        """Mark the visible matches of this text. Blank text marks nothing."""
        self._pattern = re.compile(re.escape(words), re.IGNORECASE) if words.strip() else None
        self.refresh()

    def search(self, words: str) -> None:
        """Go to the first line that contains this text, searching from the top of the view."""
        self.end_search()
        self.highlight(words)
        if self.searches:
            self.words = words
            self._find(self._top, 1)

    def end_search(self) -> None:
        self.highlight("")
        self.words, self._match, self._missed = "", None, False
        self.show_position()

    def action_find(self, step: int) -> None:
        """Go to the next match (`step` 1) or the previous one (-1)."""
        if self._match is not None and self._in_view(self._match):
            self._find(self._match + step, step)
        else:
            self._find(self._top if step > 0 else min(self._top + self.size.height, len(self.lines)) - 1, step)

    def _find(self, start: int, step: int) -> None:
        """Go to the first matching line from `start` in the direction of `step`, wrapping around at both ends.

        Compares lower-case text because a case-insensitive pattern takes 0.1 s for all lines.
        """
        if not self.words:
            return
        lines, words = self.lines, self.words.lower()
        indices = ((start + step * count) % len(lines) for count in range(len(lines)))
        self._match = next((index for index in indices if words in lines[index].lower()), None)
        self._missed = self._match is None
        if self._match is not None:
            self._at_end = False
            self._show_match(self._match)
        self.refresh()
        self.show_position()

    def _show_match(self, match: int) -> None:
        """Scroll to the line and to the first match in it."""
        if not self._in_view(match):
            self.scroll_to(y=max(0, match - self.size.height // 2), animate=False)
        line = self.lines[match]
        begin, end = (cell_len(line[:offset]) for offset in next(self._matches(line), (0, 0)))
        left, width = round(self.scroll_target_x), self.scrollable_content_region.width
        if begin < left or end > left + width:
            self.scroll_to(x=0 if end <= width else begin - width // 3, animate=False)

    def _matches(self, line: str) -> Iterator[tuple[int, int]]:
        matches = self._pattern.finditer(line) if self._pattern else ()
        return (match.span() for match in islice(matches, MOST_MARKS))
