"""The lines of the GPU screen: all figures of one GPU, and its processes. Pure functions of a GPU sample."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from engine.contract.text import clean
from engine.contract.units import duration, gibibytes
from xray_tui.gpu.history import averages
from xray_tui.widgets import gpu_format
from xray_tui.widgets.format import Line, Part, cells, fit
from xray_tui.widgets.gpu_format import or_dash
from xray_tui.widgets.gpu_layout import age_line, dimmed

if TYPE_CHECKING:
    from collections.abc import Iterable

    from xray_tui.feeds.gpu_feed import Gpus
    from xray_tui.gpu.snapshot import GpuProcess, GpuSample

LABEL, VALUE = 13, 25
"""Widths in cells of a figure's label and value; the chart takes the rest of the line."""
STALLED = "full utilisation at far less power than its run usually draws, and no step in two minutes: look at its log"
COLUMNS = (("PID", 8), ("USER", 10), ("TYPE", 5), ("GIB", 7), ("SM", 5), ("TIME", 7))
"""Heads and widths in cells of the short columns; run and command share the rest."""


def gpu_head(gpu: GpuSample, gpus: Gpus, width: int, now: float) -> list[Line]:
    """The GPU's figures beside the chart of its last minute, then its remarks. If the figures are outdated, the reason
    comes first."""
    lines = _current_head(gpu, gpus, width, now)
    outdated = age_line(gpus.snapshot, now)
    if gpu not in gpus.snapshot.gpus:
        outdated = f"? the GPU is gone; these are its last figures. {clean(gpus.snapshot.problem or '')}"
    if outdated is None:
        return lines
    return [*([(line, "warm")] for line in textwrap.wrap(outdated, max(20, width))), *map(dimmed, lines)]


def _current_head(gpu: GpuSample, gpus: Gpus, width: int, now: float) -> list[Line]:
    if gpu.problem is not None:
        since = "" if gpu.since is None else f" For {duration(now - gpu.since)}."
        lines = textwrap.wrap(f"! {clean(gpu.problem)}.{since}", max(20, width))
        return [[(line, "bad")] for line in lines]
    figures = _figures(gpu)
    chart = _chart(gpu, gpus, width - LABEL - VALUE, len(figures))
    rows: list[Line] = []
    for (label, (text, style)), drawn in zip(figures, chart, strict=True):
        rows.append([(fit(label, LABEL), "faint"), (fit(text, VALUE), style), *drawn])
    for label, text, style in _remarks(gpu, gpus):
        for index, line in enumerate(textwrap.wrap(text, max(20, width - LABEL))):
            rows.append([(fit("" if index else label, LABEL), "faint"), (line, style)])
    return rows


def _figures(gpu: GpuSample) -> list[tuple[str, Part]]:
    fan = f", fan {gpu.fan}%" if gpu.fan is not None else ""
    limit = f" of {gpu.power_limit:.0f} W" if gpu.power_limit is not None else ""
    heat, style = gpu_format.temperature(gpu)
    busy, busy_style = gpu_format.utilisation(gpu)
    return [
        ("Utilisation", (busy.strip(), busy_style)),
        ("Memory", (f"{gibibytes(gpu.memory_used)} of {gibibytes(gpu.memory_total)} GiB", "")),
        ("Temperature", (f"{heat.strip()}{fan}", style)),
        ("Power", (f"{or_dash(gpu.power)} W{limit}", "")),
        ("SM clock", (f"{or_dash(gpu.sm_clock)} MHz", "")),
    ]


def _chart(gpu: GpuSample, gpus: Gpus, width: int, height: int) -> list[Line]:
    """The last minute of utilisation as bars from 0 to 100 %, in `height` rows."""
    readings = gpus.history.get(gpu.uuid, ())
    room = min(60, width - len("100% "))
    if room < 12 or not readings:
        return [[] for _ in range(height)]
    means = averages(readings, gpus.snapshot.time, room)
    bars = [gpu_format.column(mean, height - 1) for mean in means]
    labels = ["100% ", *["     "] * (height - 3), "  0% "]
    rows: list[Line] = [
        [(label, "faint"), ("".join(row), "good")] for label, row in zip(labels, zip(*bars, strict=True), strict=True)
    ]
    return [*rows, [(" " * 5 + fit("1 min ago", room - 3) + "now", "faint")]]


def _remarks(gpu: GpuSample, gpus: Gpus) -> list[tuple[str, str, str]]:
    """(label, sentence, style) of each remark, to show below the figures."""
    remarks = []
    if gpu.throttle:
        remarks.append(("Slowed down", ", ".join(map(clean, gpu.throttle)), "hot"))
    if gpu.uuid in gpus.stalled:
        remarks.append(("Stalled?", STALLED, "warm"))
    free = gpu_format.is_free(gpu, gpus)
    if free is not None:
        why = clean(gpus.availability[gpu.uuid] or "")
        remarks.append(("Queue", "free for the next job" if free else f"not free: {why}", "good" if free else ""))
    if gpu.mig:
        remarks.append(("MIG", "the GPU is split into instances; the driver reports no overall utilisation", ""))
    if gpu.note:
        remarks.append(("Not readable", clean(gpu.note), "warm"))
    remarks.append(("UUID", gpu.uuid or "-", "faint"))
    return remarks


def run_cells(processes: Iterable[GpuProcess], gpus: Gpus, width: int) -> int:
    """Width in cells of the run column: fits the longest run, but at most half of the space after the short columns."""
    runs = [cells(clean(gpus.owners[process.pid].run)) for process in processes if process.pid in gpus.owners]
    return max(4, min(max(runs, default=0), _rest(width) // 2))


def process_head(width: int, run: int) -> str:
    heads = "".join(fit(head, size - 1, _align(head)) + " " for head, size in COLUMNS)
    return f" {heads}{fit('RUN', run)} {fit('COMMAND', _rest(width) - run)}"


def process_line(process: GpuProcess, gpus: Gpus, width: int, run: int, now: float) -> Line:
    """A process on one line, with its run in `run` cells; unknown values are dashes."""
    owner = gpus.owners.get(process.pid)
    values = {
        "PID": str(process.pid),
        "USER": clean(process.user) if process.user else "-",
        "TYPE": process.kind,
        "GIB": gibibytes(process.memory) if process.memory is not None else "n/a",
        "SM": "-" if process.sm is None else f"{process.sm}%",
        "TIME": "-" if process.started is None else duration(now - process.started) or "-",
    }
    short = "".join(fit(values[head], size - 1, _align(head)) + " " for head, size in COLUMNS)
    command = clean(process.command or process.name or "not visible to this user")
    style = "" if process.computes or owner else "faint"
    name: Part = (fit(clean(owner.run), run), "good") if owner else (fit("-", run), "faint")
    return [(f" {short}", style), name, (" ", ""), (fit(command, _rest(width) - run), "faint")]


def _align(head: str) -> str:
    return "right" if head in ("PID", "GIB", "SM", "TIME") else "left"


def _rest(width: int) -> int:
    """Width in cells of the run and command columns together."""
    return max(12, width - 2 - sum(size for _, size in COLUMNS))
