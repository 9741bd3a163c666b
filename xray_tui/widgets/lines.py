"""What the list widgets share: rows drawn one line at a time, only those in view, with a cursor and a fixed head."""

from __future__ import annotations

from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import BindingType
from textual.geometry import Size
from textual.reactive import var
from textual.scroll_view import ScrollView
from textual.strip import Strip

from xray_tui.commands import bindings


class Lines(ScrollView, can_focus=True):
    """A list of rows with a cursor. A subclass says how many there are, how one looks, and what a move means."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings("list")]

    HEAD_ROWS = 0
    """Rows at the top that do not scroll."""

    cursor: var[int] = var(0)
    """Index of the row under the cursor; -1 where there is none."""

    @property
    def row_count(self) -> int:
        raise NotImplementedError

    def draw_head(self, y: int, width: int) -> Strip:
        """One of the rows that do not scroll."""
        raise NotImplementedError

    def draw_row(self, index: int, width: int) -> Strip:
        """One row, as wide as the widget."""
        raise NotImplementedError

    def draw_empty(self, y: int, width: int) -> Strip:
        """A line below the last row."""
        return Strip.blank(width, self.rich_style)

    def cursor_moved(self) -> None:
        """Called after the cursor has come to another row."""

    @property
    def page_rows(self) -> int:
        """Rows that fit into the view."""
        return max(1, self.size.height - self.HEAD_ROWS)

    @property
    def line_width(self) -> int:
        """Cells of a line, without those under the scroll bar."""
        return self.scrollable_content_region.width

    def render_line(self, y: int) -> Strip:
        width = self.line_width
        if y < self.HEAD_ROWS:
            return self.draw_head(y, width)
        index = self.scroll_offset.y + y - self.HEAD_ROWS
        if 0 <= index < self.row_count:
            return self.draw_row(index, width)
        return self.draw_empty(y - self.HEAD_ROWS, width)

    def resized_rows(self) -> None:
        """Tell the scroll bar how many rows there are now."""
        self.virtual_size = Size(self.size.width, self.row_count + self.HEAD_ROWS)

    def on_resize(self) -> None:
        self.resized_rows()
        self.show_cursor()

    def on_focus(self) -> None:
        self.refresh()

    def on_blur(self) -> None:
        self.refresh()

    def refresh_row(self, index: int) -> None:
        """Draw one row anew."""
        if 0 <= index < self.row_count:
            self.refresh_line(index + self.HEAD_ROWS)

    def move_to(self, index: int) -> None:
        """Put the cursor on a row, as near as there is one, and scroll it into view."""
        index = max(0, min(index, self.row_count - 1)) if self.row_count else -1
        if index != self.cursor:
            before, self.cursor = self.cursor, index
            self.refresh_row(before)
            self.refresh_row(index)
            self.cursor_moved()
        self.show_cursor()

    def show_cursor(self) -> None:
        """Scroll as little as is needed to see the row under the cursor."""
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
    """Texts with their styles as one line of exactly this width, cut or filled up with `rest`."""
    return Strip([Segment(text, style) for text, style in parts]).adjust_cell_length(width, rest)
