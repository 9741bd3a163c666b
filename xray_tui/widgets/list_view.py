"""What the list widgets share: rows drawn one line at a time, only those in view, with a cursor and a fixed head.

Every byte goes over SSH, so a widget repaints only the lines that differ from what it drew before.
"""

from __future__ import annotations

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

if TYPE_CHECKING:
    from textual.widget import Widget as _Widget
else:
    _Widget = object
    """A widget inherits styles and bindings from its first base that is a widget: LineRepainter must not be one."""


class LineRepainter(_Widget):
    """Makes a widget that is drawn line by line repaint only the lines that look different than before."""

    MOVES: ClassVar[frozenset[str]] = frozenset({"move", "page", "jump"})
    """Actions that move the cursor and set nothing else off (KeysInOrder)."""

    def __init__(self, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._border_subtitle: Content | None
        self._painted: dict[int, Strip] = {}
        """Each line as it was last drawn."""

    def draw_line(self, y: int) -> Strip:
        """One line of the view."""
        raise NotImplementedError

    def render_line(self, y: int) -> Strip:
        line = self._painted[y] = self.draw_line(y)
        return line

    def refresh_changed(self) -> None:
        """Repaint the lines that have changed, each from its start, where Textual begins in any case."""
        for y in range(self.size.height):
            before = self._painted.get(y)
            if width := self.size.width if before is None else changed_width(before, self.draw_line(y)):
                self.refresh(Region(0, y, width, 1))

    def show_subtitle(self, text: Content | None) -> None:
        """Show the text in the lower border. Textual's own setter repaints the whole widget for it."""
        text = Content(text.plain.replace("\n", " ")) if text else None
        before = self._border_subtitle
        if (before.plain if before else "") == (text.plain if text else ""):
            return
        self._border_subtitle = text
        width = 4 + max(line.cell_length for line in (before, text) if line)
        frame = Region(0, self.outer_size.height - 1, min(width, self.outer_size.width), 1)
        self.refresh(frame.translate((-self.content_offset.x, -self.content_offset.y)))


class LineView(ScrollView, can_focus=True):
    """Rows that scroll as soon as there are more of them than fit, without waiting for the scroll bar.

    Textual 8.2 ignores scroll_to while no scroll bar is shown, and shows one only at the layout after the rows came.
    """

    @property
    def allow_vertical_scroll(self) -> bool:
        return not self._check_disabled() and self.max_scroll_y > 0

    @property
    def allow_horizontal_scroll(self) -> bool:
        return not self._check_disabled() and self.max_scroll_x > 0

    def watch_show_vertical_scrollbar(self, shown: bool) -> None:
        """Place the thumb where the rows are: Textual moves the thumb only of a bar that is shown."""
        if shown:
            self.vertical_scrollbar.position = self.scroll_y


class ListView(LineRepainter, LineView):
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

    def draw_line(self, y: int) -> Strip:
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
        """Repaint one row."""
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
    """Texts with their styles as one line of exactly this width, cut or filled up with `rest`.

    Every change of style costs some 20 bytes on the way to the terminal: neighbours of the same style are one segment,
    and blanks join the text beside them where that looks the same.
    """
    joined: list[tuple[str, Style]] = []
    filling = width - sum(cell_len(text) for text, _ in parts)
    for text, style in [*parts, (" " * filling, rest)]:
        if not joined:
            joined.append((text, style))
            continue
        before, its = joined[-1]
        if style == its or (not text.strip(" ") and _same_ground(style, its)):
            joined[-1] = (before + text, its)
        elif not before.strip(" ") and _same_ground(style, its):
            joined[-1] = (before + text, style)
        else:
            joined.append((text, style))
    return Strip([Segment(text, style) for text, style in joined if text]).adjust_cell_length(width, rest)


def _same_ground(one: Style, other: Style) -> bool:
    """Whether blanks look the same in both styles."""
    marked = any(style.underline or style.reverse or style.strike for style in (one, other))
    return one.bgcolor == other.bgcolor and not marked


def changed_width(before: Strip, now: Strip) -> int:
    """How many cells of a line have to be painted so that it looks like `now`: up to the last one that differs."""
    if before == now:
        return 0
    old, new = _cells(before), _cells(now)
    if len(old) != len(new):
        return max(len(old), len(new))
    return 1 + max((x for x in range(len(new)) if old[x] != new[x]), default=-1)


def _cells(line: Strip) -> list[tuple[str, Style | None]]:
    """The character and style of each cell of a line; a wide character fills two."""
    return [(char, segment.style) for segment in line for char in segment.text for _ in range(cell_len(char))]
