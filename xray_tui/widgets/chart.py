"""The charts of loss and validation metric, drawn with braille: plotting libraries import too slowly."""

from __future__ import annotations

import math
from typing import ClassVar

from rich.cells import cell_len
from textual.strip import Strip
from textual.widget import Widget

from engine.contract.metrics import metric
from engine.contract.text import clean
from xray_tui.logs.curve_reader import Curve, Points
from xray_tui.widgets.braille import Range, plot, range_of
from xray_tui.widgets.format import fit
from xray_tui.widgets.list_view import strip

AXIS = 7
"""Width in cells of the numbers left of a chart."""

Part = tuple[str, str]
"""Text and the name of its style: "", "faint", "loss", "metric"."""


class CurveView(Widget, can_focus=True):
    """Two charts over the epochs: loss and validation metric."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"curve--faint", "curve--loss", "curve--metric"}

    def __init__(self, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._curve = Curve()
        self._rows: list[list[Part]] = []

    def show(self, curve: Curve) -> None:
        if curve != self._curve or not self._rows:
            self._curve = curve
            self._draw()

    def on_resize(self) -> None:
        self._draw()

    def _draw(self) -> None:
        rows = curve_rows(self._curve, self.size.width, self.size.height)
        if rows != self._rows:
            self._rows = rows
            self.refresh()

    def render_line(self, y: int) -> Strip:
        base, width = self.rich_style, self.size.width
        parts = [
            (text, base + self.get_component_rich_style(f"curve--{name}", partial=True) if name else base)
            for text, name in (self._rows[y] if y < len(self._rows) else [])
        ]
        return strip(parts, width, base)


def curve_rows(curve: Curve, width: int, height: int) -> list[list[Part]]:
    """The charts as `height` rows of parts."""
    if curve.empty:
        return [[(" No loss and no validation yet.", "faint")]]
    if height < 3 or width < 36:
        return [[(_last_values(curve), "")]]
    end = max((x for x, _ in (*curve.loss, *curve.validation) if math.isfinite(x)), default=1.0)
    epochs = Range(0.0, float(max(1, math.ceil(end))))
    ends = _ends(epochs.high, curve.epochs)
    left = (width - 1) // 2
    right, label = width - 1 - left, metric(curve.metric).label
    charts = (
        _chart("loss", "loss", curve.loss, None, epochs, ends, left, height),
        _chart(label, "metric", curve.validation, curve.best, epochs, ends, right, height),
    )
    return [[*left_row, (" ", ""), *right_row] for left_row, right_row in zip(*charts, strict=True)]


def _chart(
    name: str,
    style: str,
    points: Points,
    best: tuple[float, float] | None,
    epochs: Range,
    ends: tuple[str, ...],
    width: int,
    height: int,
) -> list[list[Part]]:
    inner = max(4, width - AXIS)
    last = _figure(points[-1][1]) if points else "-"
    title = clean(name)[: max(0, width - len(last) - 2)]
    room = AXIS + inner - cell_len(title) - 2
    best_texts = (f"  best {_figure(best[1])} @ {best[0]:.0f}", f" best {_figure(best[1])}") if best else ()
    head = [
        (f" {title} ", style),
        (fit(last + next((text for text in best_texts if len(last + text) <= room), ""), room), ""),
    ]
    if not points:
        return [head, *([[(" " * (AXIS + inner), "")]] * (height - 1))]
    values = range_of([value for _, value in points])
    drawn = plot(points, inner, height - 2, epochs, values)
    rows: list[list[Part]] = [head]
    for row, line in enumerate(drawn):
        label = _label(values.high) if row == 0 else _label(values.low) if row == height - 3 else ""
        rows.append([(f"{label:>{AXIS - 1}} ", "faint"), (line, style)])
    end = next((text for text in ends if len(text) <= inner - len("0 ")), "")
    rows.append([(" " * AXIS, ""), ("0" + end.rjust(inner - 1), "faint")])
    return rows


def _ends(end: float, epochs: float) -> tuple[str, ...]:
    """Candidates for the label at the right end of the axis, the longest first."""
    if epochs > end:
        return f"{end:g} of {epochs:g} epochs", f"{end:g}/{epochs:g} epochs", f"{end:g}/{epochs:g}", f"{end:g}"
    return f"{end:g} {'epochs' if epochs else 'steps'}", f"{end:g}"


def _figure(value: float) -> str:
    """The value with four decimals; in scientific notation if it is large."""
    return f"{value:.4f}" if abs(value) < 1e5 else f"{value:.3e}"


def _label(value: float) -> str:
    text = f"{value:.3f}"
    return text if cell_len(text) < AXIS else f"{value:.0e}"


def _last_values(curve: Curve) -> str:
    loss = f"loss {_figure(curve.loss[-1][1])}" if curve.loss else ""
    value = f"{metric(curve.metric).label} {_figure(curve.validation[-1][1])}" if curve.validation else ""
    return f" {loss}  {value}".rstrip()
