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

    CSS = "CurveView { border: round white; } CurveView > .curve--text-marked { color: red; }"

    def compose(self) -> ComposeResult:
        yield CurveView()

    def get_theme_variable_defaults(self) -> dict[str, str]:
        return {"text-marked": "red", "text-key": "blue", "text-good": "green", "text-bad": "red"}


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


TIMED = Curve(
    LOSS, CURVE.validation, "dice_pos", (8.0, 0.4), 20, 400,
    times=tuple((step / 10, 60.0 * step) for step in range(1, 91)),
    rates=tuple((step / 10, 1e-4 * step) for step in range(1, 91)),
)  # fmt: skip


async def test_the_x_axis_is_epochs_steps_or_minutes() -> None:
    for keys, ticks, end in (
        ("", ["0", "2", "4", "6", "8"], "9 of 20 epochs"),
        ("X", ["0", "50", "100", "150"], "180 of 400 steps"),
        ("XX", ["0", "20", "40", "60", "80"], "90.0 minutes"),
        ("XXX", ["0", "2", "4", "6", "8"], "9 of 20 epochs"),
    ):
        lines = await drawn(TIMED, keys=keys)
        assert lines[-2].strip("│ ").split() == ticks
        assert lines[-1].rstrip("─╯ ").endswith(end)


async def test_the_smoothed_loss_lags_behind_and_is_named() -> None:
    last = [float((await drawn(CURVE, keys=keys))[-1].split("loss ")[1].split()[0]) for keys in ("", "W", "WW", "WWW")]
    assert last[0] == last[3] < last[1] < last[2] < 1
    assert "(log, smoothed 0.9)" in (await drawn(CURVE, keys="LW"))[-1]


async def test_a_tall_curve_has_axis_names_and_the_learning_rate_below() -> None:
    low, tall = await drawn(TIMED, (80, 19)), await drawn(TIMED, (80, 24), keys="X")
    assert "lr 0.009" in low[-1]
    assert not any("learning rate" in line for line in low)
    names = [line.strip("│ ") for line in tall if line.strip("│ ") in ("steps", "learning rate")]
    assert names == ["steps", "learning rate"]


async def test_of_several_runs_one_is_in_focus_and_the_others_show_the_same_metric_only() -> None:
    other = Curve(((0.5, 7.0),), ((1.0, 0.9), (9.0, 0.9)), "dice_pos", epochs=20)
    classifier = Curve(validation=((1.0, 99.0),), metric="roc_auc_presence")
    app = CurveApp()
    async with app.run_test(size=(80, 12)) as pilot:
        view = app.query_one(CurveView)
        view.show(CURVE, other, classifier, names=["a", "b", "c"])
        await pilot.pause()
        text = screen_text(app)
        assert "▸a  b  c" in text
        assert "loss 0.01111  ▞ Dice_pos 0.45" in text
        assert "0.90" in text.splitlines()[1], "the right axis reaches the other run's values"
        assert "99" not in text
        await pilot.press("z")
        await pilot.pause()
        assert " a ▸b  c" in screen_text(app)
        assert "loss 7  ▞ Dice_pos 0.9" in screen_text(app)
        await pilot.press("z", "z")
        await pilot.pause()
        assert "▸a  b  c" in screen_text(app)
