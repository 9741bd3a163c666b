"""The curves of a training, from its events alone."""

from __future__ import annotations

import pytest

from xray_tui.logs.curve_reader import CurveReader


def read(*values: dict[str, float]) -> CurveReader:
    reader = CurveReader()
    reader.add([{"event": "start", "epochs": len(values), "steps": 10 * len(values)}])
    reader.add({"event": "epoch", "epoch": epoch, "val": val} for epoch, val in enumerate(values, 1))
    return reader


@pytest.mark.parametrize(
    ("said", "metric"),
    [
        ({"loss": 0.5, "dice_pos": 0.3, "roc_auc_presence": 0.8}, "dice_pos"),
        ({"loss": 0.5, "roc_auc_presence": 0.8, "average_precision_presence": 0.3}, "roc_auc_presence"),
        ({"loss": 0.5, "pseudo_dice": 0.2}, "pseudo_dice"),
    ],
)
def test_what_has_no_dice_on_positives_is_drawn_by_what_it_has(said: dict[str, float], metric: str) -> None:
    curve = read(said, said).curve()
    assert curve.metric == metric
    assert curve.validation == ((1, said[metric]), (2, said[metric]))


def test_a_curve_keeps_the_metric_that_it_began_with() -> None:
    curve = read({"dice_pos": 0.3}, {"roc_auc_presence": 0.8}).curve()
    assert (curve.metric, curve.validation) == ("dice_pos", ((1, 0.3),))
