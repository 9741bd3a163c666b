"""The searchable last lines of a log, between lines about its job."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
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
        self._about: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())
        """The lines above and below the log."""
        self._times = False
        """Whether the time stamps are visible."""
        self.words = ""
        """The query of the last search."""
        self._pattern: re.Pattern[str] | None = None
        """Pattern of the text to mark."""
        self._match: int | None = None
        """Index of the line that the last search found."""
        self._missed = False
        """Whether the last search found no line."""
        self._matching: tuple[tuple[object, str], list[int]] = ((None, ""), [])
        """The lines and the words of the last search, and the indices of the matching lines."""

    # Content

    def show_nothing(self, empty: str) -> None:
        """Show only the text `empty`, until the next `show_log`."""
        self.end_search()
        self.scroll_to(x=0, animate=False)
        self.show_log(NO_LOG, empty)

    def show_log(self, log: Log, empty: str, head: tuple[str, ...] = (), end: tuple[str, ...] = ()) -> None:
        """Show the lines of this log after those of `head` and before those of `end`, or the text `empty` if there are
        none."""
        before, dropped = self._log, log.dropped - self._log.dropped
        if (log, empty, (head, end)) == (before, self._empty, self._about):
            return
        self._log, self.lines, self._empty, self._about = log, (*head, *log.lines, *end), empty, (head, end)
        if log.edition != before.edition:
            self._at_end, self._match, self._missed = True, None, False
        elif dropped:
            self._match = None if self._match is None or self._match < dropped else self._match - dropped
            if not self._at_end:
                self.scroll_to(y=max(0, self.scroll_target_y - dropped), animate=False)
        self._resize()

    def _resize(self) -> None:
        about = max(map(cell_len, (*self._about[0], *self._about[1])), default=0)
        self._resized(max(about, self._log.width + len(max(self._log.stamps, default="")) * self._times))
        self.show_position()

    def action_times(self) -> None:
        """Show or hide the time stamps."""
        self._times = not self._times
        self._resize()

    def _stamp(self, index: int) -> str:
        """The time stamp in front of the line, if it is visible."""
        at = index - len(self._about[0])
        return self._log.stamps[at] if self._times and 0 <= at < len(self._log.stamps) else ""

    def draw_row(self, index: int) -> Strip:
        line, style, faint = self.lines[index], self.rich_style, self.get_component_rich_style("log--faint")
        style = faint if index < len(self._about[0]) else style
        marked = self.get_component_rich_style("log--found" if index == self._match else "log--match")
        segments, at = [Segment(self._stamp(index), faint)], 0
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
        total, cut, text, head = len(self._log.lines), self._log.cut, "", len(self._about[0])
        if self._missed:
            text = f"no match for {cut_end(clean(self.words), LONGEST_QUERY)}"
        elif self.words and self._match is not None and self._in_view(self._match):
            lines, line = self._matching_lines(), max(1, self._match - head + 1)
            text = f"match {bisect_right(lines, self._match):,} of {len(lines):,} · line {line:,}"
        elif self._at_end and cut:
            text = f"last {total:,} of the log; o opens all of it"
        elif self._at_end and len(self.lines) > self.size.height:
            text = f"{total:,} lines"
        elif len(self.lines) > self.size.height:
            text = f"line {min(max(1, self._top - head + 1), total):,} of {'the last ' if cut else ''}{total:,}"
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
        """Go to the first matching line from `start` in the direction of `step`, wrapping around at both ends."""
        if not self.words:
            return
        lines = self._matching_lines()
        at = bisect_left(lines, start) if step > 0 else bisect_right(lines, start) - 1
        self._match = lines[at % len(lines)] if lines else None
        self._missed = self._match is None
        if self._match is not None:
            self._at_end = False
            self._show_match(self._match)
        self.refresh()
        self.show_position()

    def _matching_lines(self) -> list[int]:
        """Indices of the lines that contain the search words. Compares lower-case text because a case-insensitive
        pattern takes 0.1 s for all lines."""
        key, words = (self.lines, self.words), self.words.lower()
        if self._matching[0] != key:
            self._matching = key, [index for index, line in enumerate(self.lines) if words in line.lower()]
        return self._matching[1]

    def _show_match(self, match: int) -> None:
        """Scroll to the line and to the first match in it."""
        if not self._in_view(match):
            self.scroll_to(y=max(0, match - self.size.height // 2), animate=False)
        line = self.lines[match]
        indent = len(self._stamp(match))
        begin, end = (indent + cell_len(line[:offset]) for offset in next(self._matches(line), (0, 0)))
        left, width = round(self.scroll_target_x), self.scrollable_content_region.width
        if begin < left or end > left + width:
            self.scroll_to(x=0 if end <= width else begin - width // 3, animate=False)

    def _matches(self, line: str) -> Iterator[tuple[int, int]]:
        matches = self._pattern.finditer(line) if self._pattern else ()
        return (match.span() for match in islice(matches, MOST_MARKS))
