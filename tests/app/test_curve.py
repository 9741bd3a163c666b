"""The curve of a job: axes, two series that differ without colours, the last and best values, the log scale."""

from __future__ import annotations

import pytest
from textual.app import App, ComposeResult

from tests.app.piloting import screen_text
from xray_tui.logs.curve_reader import Curve
from xray_tui.widgets.chart import CurveView

LOSS = tuple((step / 10, 1 / step) for step in range(1, 91))
CURVE = Curve(LOSS, tuple((float(epoch), epoch / 20) for epoch in range(1, 10)), "dice_pos", (8.0, 0.4), 20)
BRAILLE = {chr(code) for code in range(0x2801, 0x2900)}
BLOCKS = set("▘▝▀▖▌▞▛▗▚▐▜▄▙▟█")


class CurveApp(App[None]):
    """A curve that fills the terminal but for its border."""

    CSS = "CurveView { border: round white; } CurveView > .curve--loss { color: red; }"

    def compose(self) -> ComposeResult:
        yield CurveView()

    def get_theme_variable_defaults(self) -> dict[str, str]:
        return {"text-marked": "red", "text-key": "blue"}


async def drawn(curve: Curve, size: tuple[int, int] = (80, 12), keys: str = "") -> list[str]:
    """The lines of the terminal that shows the curve."""
    app = CurveApp()
    async with app.run_test(size=size) as pilot:
        app.query_one(CurveView).show(curve)
        await pilot.press(*keys)
        await pilot.pause()
        return screen_text(app).splitlines()


async def test_a_curve_has_axes_with_numbers_and_two_series_that_differ_without_colours() -> None:
    lines = await drawn(CURVE)
    left, right = (
        [line.strip("│╭╮ ").split(sign)[at] for line in lines if sign in line] for sign, at in (("┤", 0), ("├", 1))
    )
    assert [float(value) for value in left] == sorted(map(float, left), reverse=True)
    assert (float(left[0]), float(right[0]), float(right[-1])) == (1.0, 0.45, 0.05)
    assert lines[-2].strip("│ ").split() == ["0", "2", "4", "6", "8"]
    inside = {char for line in lines[1:-1] for char in line}
    assert inside & BRAILLE
    assert inside & BLOCKS


async def test_the_border_has_the_last_and_the_best_values_and_the_epochs() -> None:
    assert "loss 0.01111  ▞ Dice_pos 0.45, best 0.4 @ 8  9 of 20 epochs" in (await drawn(CURVE))[-1]
    assert "⡠ loss 0.01111  ▞ Dice_pos 0.45" in (await drawn(CURVE, (40, 8)))[-1]


async def test_the_loss_is_drawn_on_a_log_scale_and_on_a_linear_one_again() -> None:
    linear, log = await drawn(CURVE), await drawn(CURVE, keys="L")
    assert "loss 0.01111 (log)" in log[-1]
    middle = [float(lines[4].strip("│ ").split("┤")[0]) for lines in (linear, log)]
    assert middle[1] < middle[0] / 2
    assert await drawn(CURVE, keys="LL") == linear
    assert await drawn(Curve(((0.0, 0.0), (1.0, -2.0))), keys="L"), "no loss has a logarithm"


@pytest.mark.parametrize("size", [(3, 3), (12, 4), (38, 8), (200, 60)])
@pytest.mark.parametrize("curve", [
    Curve(), CURVE, Curve(((0.0, 0.5), (1.0, 0.5))), Curve(validation=((1.0, 0.0),)),
    Curve(((1e12, -1e12), (-1e12, 0.5), (0.1, 1e12))),
])  # fmt: skip
async def test_every_curve_is_drawn_in_any_size(curve: Curve, size: tuple[int, int]) -> None:
    assert len(await drawn(curve, size)) == size[1]


async def test_without_a_curve_it_says_so() -> None:
    assert "No loss and no validation yet." in (await drawn(Curve()))[1]


async def test_a_metric_from_a_file_sends_no_control_character() -> None:
    lines = await drawn(Curve(validation=((1.0, 0.5),), metric="a\x1b[31m"))
    assert "a␛[31m 0.5" in lines[-1]
    assert all(line.isprintable() for line in lines)
