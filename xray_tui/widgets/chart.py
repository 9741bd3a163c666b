"""The chart of trainings: loss on the left axis, validation metric on the right one, over epochs, steps or minutes."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from rich.text import Text
from textual.binding import BindingType
from textual.content import Content
from textual_plotext import PlotextPlot

from engine.contract.metrics import metric
from engine.contract.text import clean
from engine.contract.units import MINUTE
from xray_tui.keymap import bindings
from xray_tui.logs.curve_reader import Curve, Points

TICK = 12
"""Minimum distance in cells between two ticks of the x axis."""
TALL = 20
"""Height in rows from which the x axis has a name and the learning rate has its own chart."""
CHOICES: dict[str, tuple[Any, ...]] = {
    "axis": ("epochs", "steps", "minutes"),
    "scale": ("linear", "log"),
    "smoothing": (0.0, 0.9, 0.98),
}
"""The choices that keys cycle through; the smoothing is the weight of the past in the moving average of the loss."""
COLORS = ("text-key", "text-marked", "text-good", "text-bad", "foreground")
"""Theme colours of several runs."""


class CurveView(PlotextPlot, can_focus=True):
    """Draws each curve with its own dots, to tell them apart without colours; the border shows the last values.

    Of several runs, the run in focus has all its curves, and the others have their validation metric if it is the same.
    """

    BINDINGS: ClassVar[list[BindingType]] = [*bindings("curve")]
    COMPONENT_CLASSES: ClassVar[set[str]] = {f"curve--{name}" for name in COLORS}

    def __init__(self, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self.theme = "clear"  # the colours of the panel
        self._curves: tuple[Curve, ...] = (Curve(),)
        self._names: tuple[str, ...] = ()
        self._chosen = dict.fromkeys((*CHOICES, "run"), 0)

    def show(self, *curves: Curve, names: Sequence[str] = ()) -> None:
        """Show the curves; `names` are the runs in the title."""
        curves = curves or (Curve(),)
        if (curves, names := tuple(names)) != (self._curves, self._names):
            if names != self._names:
                self._chosen["run"] = 0
            self._curves, self._names = curves, names
            self._redraw()

    def action_cycle(self, what: str) -> None:
        """Choose the next axis, scale or smoothing, or the next run for the focus."""
        self._chosen[what] += 1
        self._redraw()

    def _choice(self, what: str) -> Any:
        return CHOICES[what][self._chosen[what] % len(CHOICES[what])]

    @property
    def _focus(self) -> int:
        """Index of the run in focus."""
        return self._chosen["run"] % len(self._curves)

    def _redraw(self) -> None:
        curve, parts = self._curves[self._focus], []
        scale, weight, axis = map(self._choice, ("scale", "smoothing", "axis"))
        if curve.loss:
            *_, (_, loss) = _smoothed(curve.loss, weight)
            how = ", ".join(["log"] * (scale == "log") + [f"smoothed {weight}"] * (weight > 0))
            parts.append((f"⡠ loss {loss:.4g}" + (f" ({how})" if how else ""), self._color("loss")))
        if curve.validation:
            best = f", best {curve.best[1]:.4g} @ {curve.best[0]:.0f}" if curve.best else ""
            label = clean(metric(curve.metric).label)
            parts.append((f"▞ {label} {curve.validation[-1][1]:.4g}{best}", self._color("validation")))
        parts += [(f"lr {curve.rates[-1][1]:.2g}", "")] if curve.rates else []
        if not curve.empty:
            total = {"epochs": curve.epochs, "steps": curve.steps}.get(axis)
            end = f"{_end(self._along(curve)):{'.1f' if axis == 'minutes' else '.6g'}}"
            parts.append((f"{end}{f' of {total:g}' if total else ''} {axis}", ""))
        styled = (Content.styled(text, f"${color}" if color else "") for text, color in parts)
        self.border_subtitle = Content("  ").join(styled)
        if self._names:
            signs = ("▸" if len(self._names) > 1 and at == self._focus else " " for at in range(len(self._names)))
            colors = (f"${self._color('', at)}" if len(self._names) > 1 else "" for at in range(len(self._names)))
            names = map(Content.styled, map(str.__add__, signs, self._names), colors)
            self.border_title = Content(" ").join([Content.styled("Curve", "bold"), *names])
        self.refresh()

    def render(self) -> Text:
        if all(curve.empty for curve in self._curves):
            return Text(" No loss and no validation yet.")
        curves, plot = [self._along(curve) for curve in self._curves], self.plt
        curve, end = curves[self._focus], math.ceil(max(map(_end, curves)))
        width, height = self.size
        plot.clear_figure()
        upper: Any = plot
        if height >= TALL and curve.rates:
            plot.plotsize(width, height)
            plot.subplots(2, 1)
            upper, lower = plot.subplot(1, 1), plot.subplot(2, 1)
            upper.plot_size(width, height - height // 4)
            lower.plot_size(width, height // 4)
            lower.xlabel("learning rate")
            self._draw(lower, curve.rates, "braille", "left")
            self._set_x(lower, end)
        if height >= TALL:
            upper.xlabel(self._choice("axis"))
        for at, other in enumerate(curves):
            if at != self._focus and other.metric == curve.metric:
                self._draw(upper, other.validation, "hd", "right", self._color("", at))
        log = self._choice("scale") == "log"
        loss = [(x, y) for x, y in _smoothed(curve.loss, self._choice("smoothing")) if y > 0 or not log]
        drawn = self._draw(upper, loss, "braille", "left", self._color("loss"))
        upper.yscale("log" if log and drawn else "linear", "left")
        self._draw(upper, curve.validation, "hd", "right", self._color("validation"))
        self._set_x(upper, end)
        text = super().render()
        assert isinstance(text, Text)
        return text

    def _draw(self, plot: Any, points: Iterable[tuple[float, float]], dots: str, side: str, color: str = "") -> bool:
        """Draw the points in the limits, at most one per column, because plotext computes every dot of a line. Return
        whether there are any."""
        points = [(x, y) for x, y in points if x >= 0]
        points = points[:: 1 + len(points) // max(1, self.size.width)]
        if points:
            xs, ys = zip(*points, strict=True)
            plot.plot(xs, ys, marker=dots, color=self._rgb(color) if color else "default", yside=side)
        return bool(points)

    def _set_x(self, plot: Any, end: int) -> None:
        least = end * TICK / max(TICK, self.size.width)
        power = 10 ** math.floor(math.log10(max(1.0, least)))
        step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= least)
        plot.xlim(0, end)
        plot.xticks([*range(0, end + 1, step)])
        plot.xaxes(True, False)

    def _along(self, curve: Curve) -> Curve:
        """The curve over the chosen axis instead of epochs, if the curve has its values."""
        axis, epochs = self._choice("axis"), [x for x, _ in curve.times]

        def convert(points: Points) -> Points:
            if axis == "steps":
                return tuple((x / curve.epochs * curve.steps, y) for x, y in points)
            at = (min(bisect_left(epochs, x), len(epochs) - 1) for x, _ in points)
            return tuple((curve.times[index][1] / MINUTE, y) for index, (_, y) in zip(at, points, strict=True))

        if axis == "epochs" or not (curve.epochs and curve.steps if axis == "steps" else epochs):
            return curve
        return replace(
            curve, loss=convert(curve.loss), validation=convert(curve.validation), rates=convert(curve.rates)
        )

    def _color(self, series: str, at: int | None = None) -> str:
        """The theme colour of a series, or of a run if there are several; the run in focus unless `at` is given."""
        if len(self._curves) == 1:
            return "text-marked" if series == "loss" else "text-key"
        return COLORS[(self._focus if at is None else at) % len(COLORS)]

    def _rgb(self, color: str) -> str | int | tuple[int, int, int]:
        """The theme colour in a form that plotext accepts."""
        found = self.get_component_rich_style(f"curve--{color}", partial=True).color
        if found is not None and found.triplet is not None:
            return found.triplet.red, found.triplet.green, found.triplet.blue
        return "default" if found is None or found.number is None else found.number


def _end(curve: Curve) -> float:
    """The last value on the x axis; at least 1."""
    return max(1.0, *(x for x, _ in (*curve.loss, *curve.validation)), 1.0)


def _smoothed(points: Points, weight: float) -> Iterator[tuple[float, float]]:
    """The exponential moving average, divided by the sum of its weights so that it does not start at 0."""
    mean = total = 0.0
    for x, y in points:
        mean, total = weight * mean + (1 - weight) * y, weight * total + 1 - weight
        yield x, mean / total
