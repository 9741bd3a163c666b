"""A picture as half-blocks, two pixels a cell; without colours as shade characters with outlines of letters."""

from __future__ import annotations

import textwrap
from functools import lru_cache
from itertools import groupby

from rich.color import Color
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip
from textual.widget import Widget

from xray_tui.feeds.picture_process import Drawing

SHADES = " ░▒▓█"
MASK, PREDICTION, BOTH = "#", "o", "@"
"""Outlines in a terminal without colours."""
STEP = 8
"""Grey levels are rounded down to a multiple of this: equal cells next to each other are sent once."""

Pixel = tuple[int, int, int]


def picture_lines(drawing: Drawing, letters: bool) -> list[list[Segment]]:
    """The lines of a drawing. With `letters` they need no colours, and their few shades span its darkest and brightest
    pixels."""
    draw, lines = _letter if letters else _half_block, []
    if letters and drawing.pixels:
        low, high = min(drawing.pixels[1::3]), max(drawing.pixels[1::3]) + 1
        stretched = bytes(max(0, min(255, (value - low) * 256 // (high - low))) for value in range(256))
        drawing = drawing._replace(pixels=drawing.pixels.translate(stretched))
    for y in range(0, drawing.rows, 2):
        top, bottom = (_row(drawing, row) for row in (y, min(y + 1, drawing.rows - 1)))
        cells = groupby(draw(*pair) for pair in zip(top, bottom, strict=True))
        lines.append([Segment(char * len(list(same)), style) for (char, style), same in cells])
    return lines


def _row(drawing: Drawing, y: int) -> list[Pixel]:
    start, end = 3 * y * drawing.columns, 3 * (y + 1) * drawing.columns
    values = drawing.pixels[start:end]
    return list(zip(values[::3], values[1::3], values[2::3], strict=True))


@lru_cache(1 << 14)
def _half_block(top: Pixel, bottom: Pixel) -> tuple[str, Style]:
    upper, lower = (Color.from_rgb(*_rounded(pixel)) for pixel in (top, bottom))
    return (" ", Style(bgcolor=upper)) if upper == lower else ("▀", Style(color=upper, bgcolor=lower))


def _rounded(pixel: Pixel) -> Pixel:
    red, green, blue = pixel
    return (red // STEP * STEP,) * 3 if red == green == blue else pixel


@lru_cache(1 << 14)
def _letter(top: Pixel, bottom: Pixel) -> tuple[str, Style]:
    """The outline of the mask is bluer than red, and that of the prediction redder than blue; other pixels are grey."""
    mask, prediction = top[2] > top[0] or bottom[2] > bottom[0], top[0] > top[2] or bottom[0] > bottom[2]
    shade = SHADES[(top[0] + bottom[0]) * len(SHADES) // 512]
    return BOTH if mask and prediction else MASK if mask else PREDICTION if prediction else shade, Style()


class Picture(Widget):
    """Shows a picture in its middle, or a note."""

    def __init__(self, note: str = "", classes: str | None = None) -> None:
        super().__init__(classes=classes)
        self._note = note
        self._lines: list[list[Segment]] = []

    def show(self, lines: list[list[Segment]], note: str = "") -> None:
        """Show these lines; without any, the note, which must have passed `clean`."""
        self._lines, self._note = lines, note
        self.refresh()

    def render_line(self, y: int) -> Strip:
        width, height = self.size
        lines, style = self._lines, self.rich_style
        if not lines:
            wrapped = textwrap.wrap(self._note, max(1, width - 2), break_on_hyphens=False)
            lines = [[Segment(f" {line}", style)] for line in wrapped]
        at = y - (max(0, height - len(self._lines)) // 2 if self._lines else 0)
        line = Strip(lines[at] if 0 <= at < len(lines) else [])
        left = (width - line.cell_length) // 2 if self._lines and 0 <= at < len(lines) else 0
        return Strip([Segment(" " * left, style), *line]).adjust_cell_length(width, style)
