"""The lines of the GPU screen: all figures of one GPU, and the processes of all GPUs. Pure functions of samples."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from engine.contract.text import clean
from engine.contract.units import duration, gibibytes
from xray_tui.widgets import gpu_format
from xray_tui.widgets.format import Line, Part, cells, fit
from xray_tui.widgets.gpu_format import or_dash
from xray_tui.widgets.gpu_layout import age_line, dimmed

if TYPE_CHECKING:
    from collections.abc import Iterable

    from xray_tui.feeds.gpu_feed import Gpus
    from xray_tui.gpu.history import Figure
    from xray_tui.gpu.snapshot import GpuProcess, GpuSample

LABEL, VALUE = 13, 25
"""Widths in cells of a figure's label and value; the history takes the rest of the line."""
AXIS, LEAST_HISTORY = ("1 min ago", "now"), 15
"""Labels below the histories, and the minimum width in cells for a history."""
STALLED = "full utilisation at far less power than its run usually draws, and no step in two minutes: look at its log"
COLUMNS = (("GPU", 4), ("PID", 8), ("USER", 9), ("TYPE", 5), ("GIB", 6), ("SM", 5), ("TIME", 7))
"""Heads and widths in cells of the short columns; run and command share the rest."""


def gpu_head(gpu: GpuSample, gpus: Gpus, width: int, now: float) -> list[Line]:
    """The GPU's figures beside the history of their last minute, then its remarks. The reason why figures are outdated
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
    room = width - LABEL - VALUE
    room = min(60, room) if room >= LEAST_HISTORY and gpus.history.get(gpu.uuid) else 0
    rows: list[Line] = []
    axis: Line = [(fit(AXIS[0], room - len(AXIS[1])) + AXIS[1], "faint")] if room else []
    for label, (text, style), figure in _figures(gpu):
        minute = gpu_format.history(gpu, gpus, room, figure) if figure else axis
        axis = axis if figure else []
        rows.append([(fit(label, LABEL), "faint"), (fit(text, VALUE), style), *minute])
    for label, text, style in _remarks(gpu, gpus):
        for index, line in enumerate(textwrap.wrap(text, max(20, width - LABEL))):
            rows.append([(fit("" if index else label, LABEL), "faint"), (line, style)])
    return rows


def _figures(gpu: GpuSample) -> list[tuple[str, Part, Figure | None]]:
    """Label, value and history of each figure; the figures with a history come first."""
    fan = f", fan {gpu.fan}%" if gpu.fan is not None else ""
    limit = f" of {gpu.power_limit:.0f} W" if gpu.power_limit is not None else ""
    heat, style = gpu_format.temperature(gpu)
    busy, busy_style = gpu_format.utilisation(gpu)
    return [
        ("Utilisation", (busy.strip(), busy_style), "utilisation"),
        ("Memory", (f"{gibibytes(gpu.memory_used)} of {gibibytes(gpu.memory_total)} GiB", ""), "memory"),
        ("Power", (f"{or_dash(gpu.power)} W{limit}", ""), "power"),
        ("Temperature", (f"{heat.strip()}{fan}", style), None),
        ("SM clock", (f"{or_dash(gpu.sm_clock)} MHz", ""), None),
    ]


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
    if gpu.processes is None:
        remarks.append(("Processes", f"cannot be listed{why_unlisted(gpu)}", "warm"))
    if gpu.note:
        remarks.append(("Not readable", clean(gpu.note), "warm"))
    remarks.append(("UUID", gpu.uuid or "-", "faint"))
    return remarks


def why_unlisted(gpu: GpuSample) -> str:
    return f": {clean(gpu.processes_problem)}" if gpu.processes_problem else ""


def run_cells(runs: Iterable[str], width: int) -> int:
    """Width in cells of the run column: fits the longest run, but at most half of the space after the short columns."""
    return max(4, min(max(map(cells, runs), default=0), _rest(width) // 2))


def process_head(width: int, run: int) -> str:
    heads = "".join(fit(head, size - 1, _align(head)) + " " for head, size in COLUMNS)
    return f" {heads}{fit('RUN', run)} {fit('COMMAND', _rest(width) - run)}"


def process_line(gpu: int, process: GpuProcess, gpus: Gpus, width: int, run: int, now: float) -> Line:
    """A process of the GPU with this index on one line, with its run in `run` cells; unknown values are dashes."""
    owner = gpus.owners.get(process.pid)
    values = {
        "GPU": str(gpu),
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
    return "right" if head in ("GPU", "PID", "GIB", "SM", "TIME") else "left"


def _rest(width: int) -> int:
    """Width in cells of the run and command columns together."""
    return max(12, width - 2 - sum(size for _, size in COLUMNS))
