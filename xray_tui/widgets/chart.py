"""The chart of a training: loss on the left axis, validation metric on the right one, over the epochs."""

from __future__ import annotations

import math
from typing import ClassVar

from rich.text import Text
from textual.binding import BindingType
from textual.content import Content
from textual_plotext import PlotextPlot

from engine.contract.metrics import metric
from engine.contract.text import clean
from xray_tui.keymap import bindings
from xray_tui.logs.curve_reader import Curve

TICK = 12
"""Minimum distance in cells between two ticks of the x axis."""


class CurveView(PlotextPlot, can_focus=True):
    """Draws each curve with its own dots, to tell them apart without colours; the border shows the last values."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings("curve")]
    COMPONENT_CLASSES: ClassVar[set[str]] = {"curve--loss", "curve--validation"}

    def __init__(self, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self.theme = "clear"  # the colours of the panel
        self._curve = Curve()
        self._log_scale = False

    def show(self, curve: Curve) -> None:
        if curve != self._curve:
            self._curve = curve
            self._show_values()
            self.refresh()

    def action_log_scale(self) -> None:
        """Toggle the logarithmic scale of the loss, which shows only losses above 0."""
        self._log_scale = not self._log_scale
        self._show_values()
        self.refresh()

    def _show_values(self) -> None:
        curve, parts = self._curve, []
        if curve.loss:
            scale = " (log)" if self._log_scale else ""
            parts.append((f"⡠ loss {curve.loss[-1][1]:.4g}{scale}", "$text-marked"))
        if curve.validation:
            best = f", best {curve.best[1]:.4g} @ {curve.best[0]:.0f}" if curve.best else ""
            label = clean(metric(curve.metric).label)
            parts.append((f"▞ {label} {curve.validation[-1][1]:.4g}{best}", "$text-key"))
        if not curve.empty:
            total = f" of {curve.epochs:g} epochs" if curve.epochs else ""
            parts.append((f"{_end(curve):g}{total}", ""))
        self.border_subtitle = Content("  ").join(Content.styled(text, style) for text, style in parts)

    def render(self) -> Text:
        curve, plot = self._curve, self.plt
        if curve.empty:
            return Text(" No loss and no validation yet.")
        plot.clear_data()
        end = math.ceil(_end(curve))
        for name, dots, side in (("loss", "braille", "left"), ("validation", "hd", "right")):
            log = self._log_scale and name == "loss"
            points = [(x, y) for x, y in getattr(curve, name) if x >= 0 and (y > 0 or not log)]
            if points:  # none is outside the limits, because plotext computes every dot of a line
                xs, ys = zip(*points, strict=True)
                plot.plot(xs, ys, marker=dots, color=self._color(f"curve--{name}"), yside=side)
            plot.yscale("log" if log and points else "linear", side)
        plot.xlim(0, end)
        plot.xticks([*range(0, end + 1, math.ceil(end * TICK / max(TICK, self.size.width)))])
        plot.xaxes(True, False)
        drawn = super().render()
        assert isinstance(drawn, Text)
        return drawn

    def _color(self, name: str) -> str | int | tuple[int, int, int]:
        """The text colour of a component class in a form that plotext accepts."""
        color = self.get_component_rich_style(name, partial=True).color
        if color is not None and color.triplet is not None:
            return color.triplet.red, color.triplet.green, color.triplet.blue
        return "default" if color is None or color.number is None else color.number


def _end(curve: Curve) -> float:
    """The last epoch, or step, of the curves; at least 1."""
    return max(1.0, *(x for x, _ in (*curve.loss, *curve.validation)))
