"""The base of the list widgets, which draw the visible rows line by line, with a cursor and a fixed head.

All output goes over SSH, so a widget repaints only the lines that have changed.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, ClassVar

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import BindingType
from textual.content import Content
from textual.geometry import Region, Size
from textual.reactive import var
from textual.scroll_view import ScrollView
from textual.strip import Strip

from xray_tui.keymap import bindings
from xray_tui.widgets.format import Part

if TYPE_CHECKING:
    from textual.widget import Widget as _Widget
else:
    _Widget = object
    """Textual takes styles and bindings from the first base that is a widget, so LineRepainter must not be a widget."""


class LineRepainter(_Widget):
    """Mixin for widgets drawn line by line: repaints only changed lines."""

    MOVES: ClassVar[frozenset[str]] = frozenset({"move", "page", "jump"})
    """Actions that only move the cursor; KeysInOrder runs them directly."""
    STYLES: ClassVar[str] = ""
    """Prefix of the component classes, which include `cursor`."""

    def __init__(self, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._border_subtitle: Content | None
        self._painted: dict[int, Strip] = {}
        """Maps each line number to the line as last drawn."""

    def draw_line(self, y: int) -> Strip:
        """Draw line `y` of the view."""
        raise NotImplementedError

    def part_style(self, name: str, selected: bool = False) -> Style:
        """The style of a part of a line; `selected` if the cursor is on it."""
        base = self.get_component_rich_style(f"{self.STYLES}--cursor") if selected else self.rich_style
        return base + self.get_component_rich_style(f"{self.STYLES}--{name}", partial=True) if name else base

    def strip_of(self, parts: Iterable[Part], width: int, selected: bool = False) -> Strip:
        """The parts as a line of `width` cells."""
        styled = [(text, self.part_style(name, selected)) for text, name in parts]
        return strip(styled, width, self.part_style("", selected))

    def render_line(self, y: int) -> Strip:
        line = self._painted[y] = self.draw_line(y)
        return line

    def refresh_changed(self) -> None:
        """Repaint each changed line up to its last changed cell; Textual always begins at the first cell."""
        for y in range(self.size.height):
            before = self._painted.get(y)
            if width := self.size.width if before is None else changed_width(before, self.draw_line(y)):
                self.refresh(Region(0, y, width, 1))

    def show_subtitle(self, text: Content | None) -> None:
        """Show the text in the lower border, without repainting the whole widget as Textual's setter does."""
        text = Content(text.plain.replace("\n", " ")) if text else None
        before = self._border_subtitle
        if (before.plain if before else "") == (text.plain if text else ""):
            return
        self._border_subtitle = text
        width = 4 + max(line.cell_length for line in (before, text) if line)
        frame = Region(0, self.outer_size.height - 1, min(width, self.outer_size.width), 1)
        self.refresh(frame.translate((-self.content_offset.x, -self.content_offset.y)))


class LineView(ScrollView, can_focus=True):
    """A view that can scroll as soon as its rows exceed its height, before the scroll bar appears.

    Textual 8.2 ignores scroll_to without a scroll bar, and shows the bar only at the next layout.
    """

    @property
    def allow_vertical_scroll(self) -> bool:
        return not self._check_disabled() and self.max_scroll_y > 0

    @property
    def allow_horizontal_scroll(self) -> bool:
        return not self._check_disabled() and self.max_scroll_x > 0

    def watch_show_vertical_scrollbar(self, shown: bool) -> None:
        """Position the thumb when the bar appears, because Textual moves it only while the bar is shown."""
        if shown:
            self.vertical_scrollbar.position = self.scroll_y


class ListView(LineRepainter, LineView):
    """A list of rows with a cursor. A subclass defines `row_count`, `draw_row` and, as needed, the other methods."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings("list")]

    HEAD_ROWS = 0
    """Rows at the top that do not scroll."""

    cursor: var[int] = var(0)
    """Index of the row under the cursor; -1 in an empty list."""

    @property
    def row_count(self) -> int:
        raise NotImplementedError

    def draw_head(self, y: int, width: int) -> Strip:
        """Draw row `y` of the head, which does not scroll."""
        raise NotImplementedError

    def draw_row(self, index: int, width: int) -> Strip:
        """Draw one row in `width` cells."""
        raise NotImplementedError

    def draw_empty(self, y: int, width: int) -> Strip:
        """Draw line `y` of the scrolling area, below the last row."""
        return Strip.blank(width, self.rich_style)

    def cursor_moved(self) -> None:
        """Called after the cursor has moved to another row."""

    @property
    def page_rows(self) -> int:
        """Number of rows that fit into the view."""
        return max(1, self.size.height - self.HEAD_ROWS)

    @property
    def line_width(self) -> int:
        """Width of a line in cells, without the scroll bar."""
        return self.scrollable_content_region.width

    def draw_line(self, y: int) -> Strip:
        width = self.line_width
        if y < self.HEAD_ROWS:
            return self.draw_head(y, width)
        index = self.scroll_offset.y + y - self.HEAD_ROWS
        if 0 <= index < self.row_count:
            return self.draw_row(index, width)
        return self.draw_empty(y - self.HEAD_ROWS, width)

    def resized_rows(self) -> None:
        """Update the scrollable height after a change of `row_count`."""
        self.virtual_size = Size(self.size.width, self.row_count + self.HEAD_ROWS)

    def replaced_rows(self, cursor: int | None) -> None:
        """Draw rows that have been replaced, with the cursor on this row, or near its old place if None."""
        self.cursor = min(max(self.cursor, 0), self.row_count - 1) if cursor is None else cursor
        self.resized_rows()
        self.show_cursor()
        self.refresh_changed()

    def on_resize(self) -> None:
        self.resized_rows()
        self.show_cursor()

    def refresh_row(self, index: int) -> None:
        if 0 <= index < self.row_count:
            self.refresh_line(index + self.HEAD_ROWS)

    def move_to(self, index: int) -> None:
        """Put the cursor on the row, or on the nearest one, and scroll it into view."""
        index = max(0, min(index, self.row_count - 1)) if self.row_count else -1
        if index != self.cursor:
            before, self.cursor = self.cursor, index
            self.refresh_row(before)
            self.refresh_row(index)
            self.cursor_moved()
        self.show_cursor()

    def show_cursor(self) -> None:
        """Scroll just enough to show the row under the cursor."""
        top = round(self.scroll_target_y)
        if self.cursor < top:
            self.scroll_to(y=max(0, self.cursor), animate=False)
        elif self.cursor >= top + self.page_rows:
            self.scroll_to(y=self.cursor - self.page_rows + 1, animate=False)

    def action_move(self, rows: int) -> None:
        self.move_to(self.cursor + rows)

    def action_page(self, pages: int) -> None:
        self.move_to(self.cursor + pages * self.page_rows)

    def action_jump(self, index: int) -> None:
        self.move_to(index if index >= 0 else self.row_count - 1)

    def on_click(self, event: events.Click) -> None:
        offset = event.get_content_offset(self)
        if offset is not None and offset.y >= self.HEAD_ROWS:
            self.move_to(round(self.scroll_offset.y) + offset.y - self.HEAD_ROWS)


def strip(parts: list[tuple[str, Style]], width: int, rest: Style) -> Strip:
    """Styled texts as one line of exactly `width` cells, cut or filled with blanks in the style `rest`.

    Each change of style costs about 20 bytes, so adjacent texts of equal style become one segment, and blanks take the
    style of the adjacent text if that looks the same.
    """
    joined = [("", rest)]
    filling = width - sum(cell_len(text) for text, _ in parts)
    for text, style in [*parts, (" " * filling, rest)]:
        before, last_style = joined[-1]
        if not before or (not before.strip(" ") and _same_blanks(style, last_style)):
            joined[-1] = (before + text, style)
        elif style == last_style or (not text.strip(" ") and _same_blanks(style, last_style)):
            joined[-1] = (before + text, last_style)
        else:
            joined.append((text, style))
    return Strip([Segment(text, style) for text, style in joined if text]).adjust_cell_length(width, rest)


def _same_blanks(style: Style, other: Style) -> bool:
    """Whether blanks look the same in both styles."""
    marked = any(item.underline or item.reverse or item.strike for item in (style, other))
    return style.bgcolor == other.bgcolor and not marked


def changed_width(before: Strip, now: Strip) -> int:
    """Number of cells, from the start of the line, up to the last one that differs between `before` and `now`."""
    if before == now:
        return 0
    old, new = _cells(before), _cells(now)
    if len(old) != len(new):
        return max(len(old), len(new))
    return 1 + max((x for x in range(len(new)) if old[x] != new[x]), default=-1)


def _cells(line: Strip) -> list[tuple[str, Style | None]]:
    """The character and style of each cell of a line; a wide character takes two cells."""
    return [(char, segment.style) for segment in line for char in segment.text for _ in range(cell_len(char))]
