"""The GPU strip at the top of the dashboard, which shows the GPUs and the host and repaints only changed lines."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from textual import events
from textual.binding import BindingType
from textual.geometry import Size
from textual.message import Message
from textual.reactive import var
from textual.strip import Strip
from textual.widget import Widget

from xray_tui.keymap import bindings
from xray_tui.widgets.format import cells_of, cut_end
from xray_tui.widgets.gpu_layout import STALE_AFTER, Cell, Row, gpu_rows
from xray_tui.widgets.host_line import host_line
from xray_tui.widgets.list_view import LineRepainter, strip

if TYPE_CHECKING:
    from xray_tui.feeds import Feed
    from xray_tui.feeds.gpu_feed import Gpus
    from xray_tui.feeds.host_feed import Host
    from xray_tui.gpu.snapshot import GpuSample


class GpuStrip(LineRepainter, Widget, can_focus=True):
    """Shows all GPUs in as much detail as fits, or why there are none, and one line for the host."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings("list", "gpus")]
    STYLES = "gpu"
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        f"gpu--{name}" for name in ("cursor", "faint", "good", "warm", "hot", "bad")
    }

    cursor: var[int] = var(0)
    """Index of the GPU under the cursor."""

    @dataclass
    class Opened(Message):
        """The user wants to open the GPU screen."""

        gpu: GpuSample

    def __init__(self, detailed: bool = False, id: str | None = None) -> None:
        super().__init__(id=id)
        self._gpus: Gpus | None = None
        self._host: Host | None = None
        self._detailed = detailed
        self._failures: dict[Feed, str] = {}
        self._rows: list[Row] = gpu_rows(None, 80, 1, False, 0.0)

    @property
    def gpu(self) -> GpuSample | None:
        """The GPU under the cursor."""
        gpus = self._gpus.snapshot.gpus if self._gpus else ()
        return gpus[min(self.cursor, len(gpus) - 1)] if gpus else None

    def allow_focus(self) -> bool:
        return super().allow_focus() and self.gpu is not None

    @property
    def indices(self) -> dict[str, int]:
        """The indices of the GPUs, by UUID."""
        return {gpu.uuid: gpu.index for gpu in self._gpus.snapshot.gpus} if self._gpus else {}

    def show(self, gpus: Gpus) -> None:
        """Show a new sample. The cursor stays on its GPU even if the indices change."""
        selected = self.gpu
        self._gpus = gpus
        uuids = [gpu.uuid for gpu in gpus.snapshot.gpus]
        if selected is not None and selected.uuid in uuids:
            self.cursor = uuids.index(selected.uuid)
        self._draw()

    def show_host(self, host: Host) -> None:
        """Show the host at once if it is the first sample or there are no GPUs; otherwise with the next GPU sample."""
        first, self._host = self._host is None, host
        if first or self.gpu is None:
            self._draw()

    def show_failure(self, feed: Feed, line: str) -> None:
        """Show on a separate line why a feed's figures may be out of date; an empty line removes it."""
        self._failures[feed] = line
        self._draw()

    def refresh_age(self) -> None:
        """Redraw if the displayed age of stale figures has changed."""
        if self._gpus is not None and self._gpus.snapshot.gpus and self._gpus.snapshot.age(time.time()) >= STALE_AFTER:
            self._draw()

    def show_more(self) -> None:
        """Toggle the detailed view."""
        self._detailed = not self._detailed
        self._draw()

    def _draw(self) -> None:
        before, self._rows = self._rows, self._rows_for(self.size.width or 80)
        if self.gpu is not None:
            self._move_to(self.cursor)
        if len(self._rows) != len(before):
            self.refresh(layout=True)
        else:
            self.refresh_changed()

    def _rows_for(self, width: int) -> list[Row]:
        """The rows at this width. The GPUs take at most half of the screen if detailed, otherwise a sixth."""
        height = self.app.size.height
        max_rows = max(1, height // 2 - 2 if self._detailed else height // 6)
        rows = gpu_rows(self._gpus, width, max_rows, self._detailed, time.time())
        if self._host is not None:
            rows = [*rows, [Cell(None, host_line(self._host, width))]]
        return [*rows, *([Cell(None, [(cut_end(line, width), "bad")])] for line in self._failures.values() if line)]

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        return max(1, len(self._rows_for(width)))  # `width` and not self.size, which is still the old size

    def on_resize(self) -> None:
        self._draw()

    def watch_cursor(self) -> None:
        self.refresh()

    def draw_line(self, y: int) -> Strip:
        row = self._rows[y] if y < len(self._rows) else []
        selected = [self.gpu is not None and cell.gpu == self.cursor for cell in row]
        styled = [
            (text, self.part_style(name, at_cursor))
            for cell, at_cursor in zip(row, selected, strict=True)
            for text, name in cell.parts
        ]
        return strip(styled, self.size.width, self.part_style("", selected == [True]))

    def _move_to(self, index: int) -> None:
        """Put the cursor on this GPU, or on the nearest one that is shown."""
        shown = [cell.gpu for row in self._rows for cell in row if cell.gpu is not None]
        self.cursor = max(0, min(index, max(shown, default=0)))

    def action_move(self, rows: int) -> None:
        """Move to the GPU above or below."""
        index = self.cursor + rows * max(map(len, self._rows))
        if any(cell.gpu == index for row in self._rows for cell in row):
            self.cursor = index

    def action_step(self, steps: int) -> None:
        """Move by this many GPUs."""
        self._move_to(self.cursor + steps)

    def action_page(self, pages: int) -> None:
        self.action_jump(-1 if pages > 0 else 0)

    def action_jump(self, index: int) -> None:
        self._move_to(index if index >= 0 else 1 << 20)

    def action_open(self) -> None:
        if self.gpu is not None:
            self.post_message(self.Opened(self.gpu))

    def on_click(self, event: events.Click) -> None:
        offset = event.get_content_offset(self)
        row = self._rows[offset.y] if offset is not None and offset.y < len(self._rows) else []
        left = 0
        for cell in row:
            left += cells_of(cell.parts)
            if offset is not None and cell.gpu is not None and (offset.x < left or len(row) == 1):
                self.cursor = cell.gpu
                return
