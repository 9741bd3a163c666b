"""The run screen: everything that is known about the run under the cursor."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from engine.contract.metrics import METRICS, metric
from engine.contract.text import clean
from xray_tui.screens.text_screen import TextScreen
from xray_tui.widgets.text import age, number

if TYPE_CHECKING:
    from xray_tui.board.rank import Row


class RunScreen(TextScreen):
    """All metrics of a row with intervals, validation and input-size values, and how they were chosen."""

    def __init__(self, row: Row) -> None:
        super().__init__(row.name, run_lines(row, time.time()))


def run_lines(row: Row, now: float) -> list[str]:
    """The lines of the screen."""
    artifact = row.artifact
    since = now - artifact.time
    lines = [
        f" Rank {row.rank}, {'new' if since < 60 else age(since) + ' old'}, by {row.source}",
        *(f" {clean(mark)}" for mark in row.marks),
        "",
        f" {'':<22}{'test':>8}{'95 % interval':>19}{'validation':>13}{'input size':>13}",
    ]
    known = [item.name for item in METRICS]
    names = [name for name in known if name in artifact.metrics]
    names += sorted(name for name in artifact.metrics if name not in known)
    for name in names:
        low_high = artifact.intervals.get(name)
        interval = f"{low_high[0]:.4f} to {low_high[1]:.4f}" if low_high else "-"
        label = clean(metric(name).label)
        lines.append(
            f" {label:<22}{number(artifact.metrics[name]):>8}{interval:>19}"
            f"{number(artifact.validation.get(name)):>13}{number(artifact.input_size.get(name)):>13}"
        )
    said = {
        "Threshold": None if artifact.threshold is None else f"{artifact.threshold:g} ({artifact.threshold_source})",
        "TTA": artifact.tta,
        **{key.replace("_", " ").capitalize(): value for key, value in artifact.selection.items()},
        "Images": artifact.num_samples,
        "Positives": artifact.num_positive,
        "Resolution": artifact.resolution,
        "Data": artifact.fingerprint,
        "Per image": artifact.per_image,
    }
    lines.append("")
    lines += [f" {clean(key):<22}{clean(str(value))}" for key, value in said.items() if value is not None]
    return lines
