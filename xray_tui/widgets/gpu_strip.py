"""The GPU strip: a line a GPU at the top of the dashboard, redrawn only when a figure reads differently."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual.geometry import Size
from textual.strip import Strip
from textual.widget import Widget

from xray_tui.widgets.gpu_lines import Line, gpu_lines
from xray_tui.widgets.lines import strip

if TYPE_CHECKING:
    from xray_tui.gpu.sample import GpuSnapshot

STYLES = ("faint", "good", "warm", "hot", "bad")


class GpuStrip(Widget):
    """Name, utilisation, memory, temperature and power of each GPU, or why there is none."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {f"gpu--{name}" for name in STYLES}

    def __init__(self, id: str | None = None) -> None:
        super().__init__(id=id)
        self._snapshot: GpuSnapshot | None = None
        self._lines: list[Line] = gpu_lines(None, 80, 1)

    def show(self, snapshot: GpuSnapshot) -> None:
        """Show another look at the GPUs."""
        self._snapshot = snapshot
        self._draw()

    def _draw(self) -> None:
        lines = self._lines_for(self.size.width or 80)
        if lines != self._lines:
            layout = len(lines) != len(self._lines)
            self._lines = lines
            self.refresh(layout=layout)

    def _lines_for(self, width: int) -> list[Line]:
        """The lines at this width; they take at most an eighth of the screen from the board."""
        return gpu_lines(self._snapshot, width, max(1, self.app.size.height // 8))

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        return max(1, len(self._lines_for(width)))  # of this width: it is asked before the widget has it

    def on_resize(self) -> None:
        self._draw()

    def render_line(self, y: int) -> Strip:
        base = self.rich_style
        if y >= len(self._lines):
            return Strip.blank(self.size.width, base)
        parts = [
            (text, base + self.get_component_rich_style(f"gpu--{name}", partial=True) if name else base)
            for text, name in self._lines[y]
        ]
        return strip(parts, self.size.width, base)
