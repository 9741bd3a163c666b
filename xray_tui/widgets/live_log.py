"""The log of a job: of any length, because it has only the lines near those in view, and asks for others in time."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import ClassVar

from rich.cells import cell_len
from rich.segment import Segment
from textual.binding import BindingType
from textual.content import Content
from textual.message import Message
from textual.strip import Strip

from engine.contract.text import clean
from xray_tui.keymap import bindings
from xray_tui.logs.log_file import NO_LOG, LogPage
from xray_tui.logs.log_search import Found, Search, shown_pattern
from xray_tui.widgets.format import cut_end
from xray_tui.widgets.log_view import LogView

LONGEST_SAID = 24
"""Cells of the words that an answer repeats."""
MOST_MARKS = 200
"""Of one line: a full stop is found thousands of times in some."""


class LiveLog(LogView):
    """Pages of a log that somebody else reads; this says which lines it wants, and what is to be searched for."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings("reading")]
    COMPONENT_CLASSES: ClassVar[set[str]] = {"log--match", "log--found"}

    @dataclass
    class Wanted(Message):
        """The lines around this one are wanted from now on; None: the last ones."""

        around: int | None

        def can_replace(self, message: Message) -> bool:
            return isinstance(message, LiveLog.Wanted)

    @dataclass
    class SearchWanted(Message):
        """This is to be looked for; None: nothing any more."""

        search: Search | None

    def __init__(self, empty: str = "", id: str | None = None, classes: str | None = None) -> None:
        super().__init__(empty=empty, id=id, classes=classes)
        self._page = NO_LOG
        self._asked: tuple[object, ...] = ()
        """What was asked for, and of which log."""
        self._width = 0
        """Cells of the longest line that was seen."""
        self._pattern: re.Pattern[str] | None = None
        """What is marked."""
        self._search: Search | None = None
        self._found: Found | None = None
        """What is known of this search."""
        self._match: int | None = None
        """The line that was found last."""
        self._reveal = False
        """Whether it is still to be brought into view."""
        self._said = ""

    # What it shows

    def show_nothing(self, empty: str) -> None:
        """What comes next is another log."""
        if self.searches:
            self.end_search()
        self._page, self._asked, self._width, self._at_end = NO_LOG, (), 0, True
        self._empty = empty
        self._resized(0)
        self._say_place()

    def show_page(self, page: LogPage, found: Found | None, empty: str) -> None:
        """Show the log of which these are some lines, and how far its search is."""
        before, self._page, self._empty = self._page, page, empty
        if page.edition != before.edition:
            self._at_end, self._match, self._reveal = True, None, False
        if page != before or not page.total:
            self._width = max(self._width, max(map(cell_len, page.lines), default=0))
            self._resized(self._width)
        if page.edition == before.edition and page.shift != before.shift and not self._at_end:
            self.scroll_to(y=self.scroll_target_y + page.shift - before.shift, animate=False)
        if found is not None and found.search == self._search and found != self._found:
            self._found = found
            if found.line is not None:
                self._match, self._reveal, self._at_end = found.line, True, False
            self.refresh()
        self._show_match()
        self.scrolled()

    @property
    def row_count(self) -> int:
        return self._page.total

    def draw_row(self, index: int) -> Strip:
        line, style = self._page.line(index) or "", self.rich_style
        marked = self.get_component_rich_style("log--found" if index == self._match else "log--match")
        segments, at = [], 0
        for start, end in self._hits(line):
            segments += [Segment(line[at:start], style), Segment(line[start:end], marked)]
            at = end
        return Strip([*segments, Segment(line[at:], style)])

    def scrolled(self) -> None:
        """Ask for the lines in view, and a screen around them, where they are not here; say where one is."""
        self._say_place()
        page, top, height = self._page, self._top, self.size.height
        first, last = max(0, top - height), min(page.total, top + 2 * height)
        if page.first <= first and last <= page.first + len(page.lines):
            return
        around = None if self._at_end else top
        asked = (around, page.edition, page.shift, page.total)
        if asked != self._asked:
            self._asked = asked
            self._ask(self.Wanted(around))

    def _ask(self, wanted: Wanted | SearchWanted) -> None:
        """Tell the app, also where a key of the screen has led here: a message stops at its sender."""
        self.post_message(wanted.set_sender(self))

    @property
    def _top(self) -> int:
        return round(self.scroll_target_y)

    def _in_view(self, line: int | None) -> bool:
        return line is not None and self._top <= line < self._top + self.size.height

    def _say_place(self) -> None:
        if (said := self._place()) != self._said:
            self._said = said
            self.border_subtitle = Content(said)

    def _place(self) -> str:
        """What stands below the log: how a search goes, or where one is in a log that is longer than the view."""
        page, found = self._page, self._found
        if self._search is not None and (found is None or not found.over):
            return f"searching… {100 * found.share if found else 0:.0f} %"
        if found is not None and found.problem:
            return f"! search failed: {found.problem}"
        if found is not None and found.line is None:
            return f"no match for {cut_end(clean(found.search.words), LONGEST_SAID)}"
        if page.counted < 1:
            return f"counting lines… {100 * page.counted:.0f} %"
        if page.total <= self.size.height:
            return ""
        if self._at_end:
            return f"{page.total:,} lines"
        line = self._match if self._match is not None and self._in_view(self._match) else self._top
        return f"line {line + 1:,} of {page.total:,}"

    # Search

    @property
    def words(self) -> str:
        """What was searched for last."""
        return self._search.words if self._search else ""

    @property
    def searches(self) -> bool:
        """Whether something is marked or looked for."""
        return self._pattern is not None

    def highlight(self, words: str) -> None:
        """Mark these words where they are in view; blanks alone mark nothing."""
        self._pattern = shown_pattern(words) if words.strip() else None
        self.refresh()

    def search(self, words: str) -> None:
        """Go to the first line that shows these words, from the top of the view."""
        self.highlight(words)
        self._match = None
        if self.searches:
            self._look_for(Search(words, self._top))
        else:
            self.end_search()

    def end_search(self) -> None:
        """Mark nothing and look for nothing."""
        self.highlight("")
        self._match = None
        self._look_for(None)

    def action_find(self, step: int) -> None:
        """To the next line that shows the words of the search, or to the one before."""
        if self._search is None:
            return
        if self._match is not None and self._in_view(self._match):
            line = self._match + step
        else:
            line = self._top if step > 0 else self._top + self.size.height - 1
        self._look_for(Search(self._search.words, line, step))

    def _look_for(self, search: Search | None) -> None:
        self._search, self._found, self._reveal = search, None, False
        self._ask(self.SearchWanted(search))
        self._say_place()

    def _show_match(self) -> None:
        """Bring what was found into view: its line at once, its words as soon as the line is here."""
        if not self._reveal or self._match is None:
            return
        if not self._in_view(self._match):
            self.scroll_to(y=max(0, self._match - self.size.height // 2), animate=False)
        line = self._page.line(self._match)
        hit = next(self._hits(line), None) if line else None
        if line is None or hit is None:
            return
        self._reveal = False
        begin, end = (cell_len(line[:place]) for place in hit)
        left, width = round(self.scroll_target_x), self.scrollable_content_region.width
        if begin < left or end > left + width:
            self.scroll_to(x=0 if end <= width else begin - width // 3, animate=False)

    def _hits(self, line: str) -> Iterator[tuple[int, int]]:
        return (hit.span() for hit in islice(self._pattern.finditer(line), MOST_MARKS)) if self._pattern else iter(())
