"""A GPU in full, and the processes that hold it, as lines. Pure functions of a look at the GPUs."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from engine.contract.text import clean
from engine.contract.units import duration, gibibytes
from xray_tui.gpu.history import CARRIED, MINUTE
from xray_tui.widgets import gpu_format as words
from xray_tui.widgets.braille import Range, plot
from xray_tui.widgets.format import cells, fit
from xray_tui.widgets.gpu_format import Line, Part
from xray_tui.widgets.gpu_layout import dimmed, how_old

if TYPE_CHECKING:
    from collections.abc import Iterable

    from xray_tui.feeds.gpu_feed import Gpus
    from xray_tui.gpu.snapshot import GpuProcess, GpuSample

LABEL, VALUE = 13, 25
"""Cells of a figure's label and of its value; what is left of a line is the chart's."""
STALLED = "full utilisation at far less power than its run usually draws, and no step in two minutes: look at its log"
COLUMNS = (("PID", 8), ("USER", 10), ("TYPE", 5), ("GIB", 7), ("SM", 5), ("TIME", 7))
"""Heads and cells of a process's short columns; its run and its command share the rest."""


def gpu_head(gpu: GpuSample, gpus: Gpus, width: int, now: float) -> list[Line]:
    """Every figure of the GPU beside its last minute, then in whole sentences what else is to be known; before all
    that, where the figures are not of now, why not."""
    if (old := _not_of_now(gpu, gpus, now)) is None:
        return _gpu_head(gpu, gpus, width, now)
    said = textwrap.wrap(old, max(20, width))
    return [*([(line, "warm")] for line in said), *map(dimmed, _gpu_head(gpu, gpus, width, now))]


def _not_of_now(gpu: GpuSample, gpus: Gpus, now: float) -> str | None:
    if gpu in gpus.snapshot.gpus:
        return how_old(gpus.snapshot, now)
    return " ".join(["? no longer there; this is what was seen last.", clean(gpus.snapshot.problem or "")])


def _gpu_head(gpu: GpuSample, gpus: Gpus, width: int, now: float) -> list[Line]:
    if gpu.problem is not None:
        lasting = "" if gpu.since is None else f" For {duration(now - gpu.since)}."
        said = textwrap.wrap(f"! {clean(gpu.problem)}.{lasting}", max(20, width))
        return [[(line, "bad")] for line in said]
    figures = _figures(gpu)
    chart = _chart(gpu, gpus, width - LABEL - VALUE, len(figures))
    rows: list[Line] = []
    for (label, (text, style)), drawn in zip(figures, chart, strict=True):
        rows.append([(fit(label, LABEL), "faint"), (fit(text, VALUE), style), *drawn])
    for label, text, style in _remarks(gpu, gpus):
        for place, line in enumerate(textwrap.wrap(text, max(20, width - LABEL))):
            rows.append([(fit("" if place else label, LABEL), "faint"), (line, style)])
    return rows


def _figures(gpu: GpuSample) -> list[tuple[str, Part]]:
    total = gibibytes(gpu.memory_total)
    speed = "-" if gpu.sm_clock is None else f"{gpu.sm_clock} MHz"
    fan = f", fan {gpu.fan}%" if gpu.fan is not None else ""
    power = "-" if gpu.power is None else f"{gpu.power:.0f} W"
    limit = f" of {gpu.power_limit:.0f} W" if gpu.power_limit is not None else ""
    heat, style = words.temperature(gpu)
    busy, busy_style = words.utilisation(gpu)
    return [
        ("Utilisation", (busy.strip(), busy_style)),
        ("Memory", (f"{gibibytes(gpu.memory_used)} of {total} GiB", "")),
        ("Temperature", (f"{heat.strip()}{fan}", style)),
        ("Power", (power + limit, "")),
        ("SM clock", (speed, "")),
    ]


def _chart(gpu: GpuSample, gpus: Gpus, width: int, height: int) -> list[Line]:
    """The last minute of utilisation, from 0 to 100 %, in `height` rows."""
    axis = 5
    room = width - axis
    now = gpus.snapshot.time
    points = [(time, float(value)) for time, value in gpus.history.get(gpu.uuid, ()) if value is not None]
    if room < 12 or not points:
        return [[] for _ in range(height)]
    drawn = plot(points, min(room, 60), height - 1, Range(now - MINUTE, now), Range(0.0, 100.0), apart=CARRIED)
    labels = ["100% ", *[" " * axis] * (height - 3), "  0% "]
    scale = fit("1 min ago", min(room, 60) - 3) + "now"
    rows: list[Line] = [[(label, "faint"), (line, "good")] for label, line in zip(labels, drawn, strict=True)]
    return [*rows, [(" " * axis + scale, "faint")]]


def _remarks(gpu: GpuSample, gpus: Gpus) -> list[tuple[str, str, str]]:
    """(label, sentence, style) of what no figure says."""
    said = []
    if gpu.throttle:
        said.append(("Slowed down", ", ".join(map(clean, gpu.throttle)), "hot"))
    if gpu.uuid in gpus.stalled:
        said.append(("Stalled?", STALLED, "warm"))
    free = words.is_free(gpu, gpus)
    if free is not None:
        why = clean(gpus.availability[gpu.uuid] or "")
        said.append(("Queue", "free: the next job may have it" if free else f"not free: {why}", "good" if free else ""))
    if gpu.mig:
        said.append(("MIG", "the GPU is split into instances; the driver tells no utilisation of the whole", ""))
    if gpu.note:
        said.append(("Not readable", clean(gpu.note), "warm"))
    said.append(("UUID", gpu.uuid or "-", "faint"))
    return said


def run_cells(processes: Iterable[GpuProcess], gpus: Gpus, width: int) -> int:
    """Cells of the run's column: as many as the longest needs, at most half of what the short columns leave."""
    runs = [cells(clean(gpus.owners[process.pid].run)) for process in processes if process.pid in gpus.owners]
    return max(4, min(max(runs, default=0), _rest(width) // 2))


def process_head(width: int, run: int) -> str:
    heads = "".join(fit(head, size - 1, _align(head)) + " " for head, size in COLUMNS)
    return f" {heads}{fit('RUN', run)} {fit('COMMAND', _rest(width) - run)}"


def process_line(process: GpuProcess, gpus: Gpus, width: int, run: int, now: float) -> Line:
    """A process on one line, its run in `run` cells; what cannot be seen of it is a dash."""
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
    command = clean(process.command or process.name or "cannot be seen from here")
    style = "" if process.computes or owner else "faint"
    name: Part = (fit(clean(owner.run), run), "good") if owner else (fit("-", run), "faint")
    return [(f" {short}", style), name, (" ", ""), (fit(command, _rest(width) - run), "faint")]


def _align(head: str) -> str:
    return "right" if head in ("PID", "GIB", "SM", "TIME") else "left"


def _rest(width: int) -> int:
    """Cells that the short columns leave to run and command together."""
    return max(12, width - 2 - sum(size for _, size in COLUMNS))
