"""A scrollable view of text lines that draws only the visible ones and follows the end until the user scrolls up."""

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
    """Shows lines that have passed `clean`, one per row. `follow` keeps the last line visible when lines are added."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings("list", "log")]
    COMPONENT_CLASSES: ClassVar[set[str]] = {"log--faint"}

    def __init__(self, follow: bool = True, empty: str = "", id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._follow = follow
        self._empty = empty
        self.lines: Sequence[str] = ()
        self._at_end = follow
        """Whether to keep the last line visible."""

    def show(self, lines: Sequence[str]) -> None:
        """Show these lines, or the text `empty` if there are none."""
        if lines != self.lines:
            self.lines = lines
            self._resized(max(map(cell_len, lines), default=0))

    # For subclasses

    def draw_row(self, index: int) -> Strip:
        """The whole line; `render_line` crops it."""
        return Strip([Segment(self.lines[index], self.rich_style)])

    def show_position(self) -> None:
        """Called after the visible rows may have changed."""

    # Following the end

    def _resized(self, width: int) -> None:
        """Update the view after its lines changed; `width` is the width of the longest line in cells."""
        self.virtual_size = Size(width, len(self.lines))
        self._stay_at_end()
        self.refresh()

    def _stay_at_end(self) -> None:
        """Scroll to the last line, unless the user has scrolled away from it."""
        if self._at_end:
            self._to_end()

    def _to_end(self) -> None:
        self.scroll_to(y=max(0, len(self.lines) - self.size.height), animate=False)

    def _scrolled(self) -> None:
        """Follow the end only if the user scrolled to it. Not called when a layout scrolls the view."""
        self._at_end = self._follow and self.scroll_target_y >= self.max_scroll_y - 0.5
        self.show_position()

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        super().watch_scroll_y(old_value, new_value)
        self.show_position()

    def on_scroll_to(self) -> None:
        self.call_after_refresh(self._scrolled)

    on_mouse_scroll_up = on_mouse_scroll_down = on_scroll_to

    def on_resize(self) -> None:
        self._stay_at_end()
        self.show_position()

    # Drawing and keys

    def render_line(self, y: int) -> Strip:
        style, width = self.rich_style, self.size.width
        if not len(self.lines) and y == 0:
            message = Segment(f" {self._empty}", self.get_component_rich_style("log--faint"))
            return Strip([message]).adjust_cell_length(width, style)
        index = self.scroll_offset.y + y
        if index >= len(self.lines):
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
