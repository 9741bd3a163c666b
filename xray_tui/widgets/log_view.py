"""Lines of text, as many as there are, drawn only where they are in view; follows its end until one scrolls up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rich.cells import cell_len
from rich.segment import Segment
from textual.binding import BindingType
from textual.geometry import Size
from textual.strip import Strip

from xray_tui.keymap import bindings
from xray_tui.widgets.list_view import LineView


class LogView(LineView):
    """Clean lines, one row each. `follow` keeps the last one in view while new ones come."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings("list", "log")]
    COMPONENT_CLASSES: ClassVar[set[str]] = {"log--faint"}

    def __init__(self, follow: bool = True, empty: str = "", id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._follow = follow
        self._empty = empty
        self._lines: Sequence[str] = ()
        self._at_end = follow
        """Whether the last line is to stay in view."""

    @property
    def lines(self) -> Sequence[str]:
        return self._lines

    def show(self, lines: Sequence[str], empty: str | None = None) -> None:
        """Show these lines; `empty` is said where there are none."""
        if lines == self._lines and empty in (None, self._empty):
            return
        self._lines = lines
        if empty is not None:
            self._empty = empty
        self._resized(max(map(cell_len, lines), default=0))

    # What a subclass of other lines says

    @property
    def row_count(self) -> int:
        return len(self._lines)

    def draw_row(self, index: int) -> Strip:
        """One line, as long as it is."""
        return Strip([Segment(self._lines[index], self.rich_style)])

    def scrolled(self) -> None:
        """Called after other rows may have come into view."""

    # Its end

    def _resized(self, width: int) -> None:
        """Lines were added or changed; the longest has so many cells."""
        self.virtual_size = Size(width, self.row_count)
        self._stay_at_end()
        self.refresh()

    def _stay_at_end(self) -> None:
        """Keep the last line in view, unless the user has scrolled away from it."""
        if self._at_end:
            self._to_end()

    def _to_end(self) -> None:
        self.scroll_to(y=max(0, self.row_count - self.size.height), animate=False)

    def _scrolled(self) -> None:
        """The user has scrolled; layouts scroll too, which says nothing of what is wanted."""
        self._at_end = self._follow and self.scroll_target_y >= self.max_scroll_y - 0.5
        self.scrolled()

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        super().watch_scroll_y(old_value, new_value)
        self.scrolled()

    def on_mouse_scroll_up(self) -> None:
        self.call_after_refresh(self._scrolled)

    def on_mouse_scroll_down(self) -> None:
        self.call_after_refresh(self._scrolled)

    def on_scroll_to(self) -> None:
        self.call_after_refresh(self._scrolled)

    def on_resize(self) -> None:
        self._stay_at_end()
        self.scrolled()

    # Drawing and keys

    def render_line(self, y: int) -> Strip:
        style, width = self.rich_style, self.size.width
        if not self.row_count and y == 0:
            said = Segment(f" {self._empty}", self.get_component_rich_style("log--faint"))
            return Strip([said]).adjust_cell_length(width, style)
        index = self.scroll_offset.y + y
        if index >= self.row_count:
            return Strip.blank(width, style)
        left = self.scroll_offset.x
        return self.draw_row(index).crop_extend(left, left + width, style)

    def action_move(self, rows: int) -> None:
        self.scroll_to(y=self.scroll_target_y + rows, animate=False)
        self._scrolled()

    def action_page(self, pages: int) -> None:
        self.action_move(pages * self.size.height)

    def action_jump(self, index: int) -> None:
        if index >= 0:
            self.scroll_to(y=index, animate=False)
        else:
            self._to_end()
        self._scrolled()
