"""The GPU strip's lines for a width and a height. Pure functions of a GpuSnapshot."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

from engine.contract.text import clean
from xray_tui.widgets.text import bar, fit, gibibytes

if TYPE_CHECKING:
    from xray_tui.gpu.sample import GpuSample, GpuSnapshot

Part = tuple[str, str]
"""Text and the name of its style: "", "faint", "good", "warm", "hot", "bad"."""
Line = list[Part]

CELL = 25
"""Cells of one GPU where several share a line."""


def gpu_lines(snapshot: GpuSnapshot | None, width: int, most: int) -> list[Line]:
    """One line a GPU; where there are more GPUs than `most` lines, several on a line; or one line why there is none."""
    if snapshot is None:
        return [[("GPU  ", "faint"), ("looking …", "faint")]]
    if not snapshot.gpus:
        said = textwrap.wrap(clean(snapshot.problem or "none found"), max(20, width - 5))[:2]
        return [[("     " if place else "GPU  ", "faint"), (line, "")] for place, line in enumerate(said)]
    if len(snapshot.gpus) <= most:
        longest = max(len(_name(gpu)) for gpu in snapshot.gpus)
        lines = [_line(gpu, width, longest) for gpu in snapshot.gpus]
    else:
        lines = _several(snapshot.gpus, max(1, width // CELL), most)
    if snapshot.stale:
        lines[0] = [("? ", "warm"), (clean(snapshot.stale) + "  ", "warm"), *lines[0]]
    return lines


def _name(gpu: GpuSample) -> str:
    return clean(gpu.name).removeprefix("NVIDIA ")


def _line(gpu: GpuSample, width: int, longest: int) -> Line:
    name = _name(gpu)
    head: Line = [("GPU ", "faint"), (f"{gpu.index} ", "")]
    if gpu.problem:
        return [*head, (f"{name}  ", ""), (f"! {clean(gpu.problem)}", "bad")]
    numbers: Line = [
        (f" {_percent(gpu.utilisation)}", _busy(gpu.utilisation)),
        (f"  {_memory(gpu)}", ""),
        (f"  {_or_dash(gpu.temperature):>3}°C", _heat(gpu.temperature)),
        (f"  {_power(gpu)}", ""),
    ]
    throttle: Line = [(f"  ! {', '.join(map(clean, gpu.throttle))}", "hot")] if gpu.throttle else []
    room = width - 6 - sum(len(text) for text, _ in numbers)
    name_width = max(min(longest, room - 11), min(longest, 12))
    bar_width = max(0, min(40, room - name_width - 1))
    used, free = bar((gpu.utilisation or 0) / 100, bar_width)
    gauge: Line = [(" " + used, _busy(gpu.utilisation)), (free, "faint")] if bar_width >= 4 else []
    return [*head, (fit(name, name_width), ""), *gauge, *numbers, *throttle]


def _several(gpus: Sequence[GpuSample], columns: int, most: int) -> list[Line]:
    rows = math.ceil(len(gpus) / columns)
    lines: list[Line] = [[] for _ in range(min(rows, most))]
    for place, gpu in enumerate(gpus):
        if place // columns < len(lines):
            lines[place // columns] += _cell(gpu)
    if rows > most:
        hidden = len(gpus) - most * columns
        lines[-1] = [*lines[-1][: -len(_cell(gpus[0]))], (f"and {hidden + 1} more", "faint")]
    return lines


def _cell(gpu: GpuSample) -> Line:
    index: Part = (f"{gpu.index:>2} ", "faint")
    if gpu.problem:
        return [index, (fit(f"! {clean(gpu.problem)}", CELL - 4), "bad"), (" ", ""), ("", ""), ("", "")]
    memory = f"{gibibytes(gpu.memory_used, 0)}/{gibibytes(gpu.memory_total, 0)}G"
    return [
        index,
        (_percent(gpu.utilisation), _busy(gpu.utilisation)),
        (f" {memory:>7}", ""),
        (f" {_or_dash(gpu.temperature):>2}°", _heat(gpu.temperature)),
        (fit(f" {_or_dash(gpu.power)}W", CELL - 19), "faint"),
    ]


def _percent(value: int | None) -> str:
    return f"{_or_dash(value):>3}%"


def _memory(gpu: GpuSample) -> str:
    return f"{gibibytes(gpu.memory_used):>5}/{gibibytes(gpu.memory_total, 0)} GiB"


def _power(gpu: GpuSample) -> str:
    limit = f"/{gpu.power_limit:.0f}" if gpu.power_limit is not None else ""
    return f"{_or_dash(gpu.power):>3}{limit} W"


def _or_dash(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}"


def _busy(utilisation: int | None) -> str:
    return "faint" if not utilisation else "good"


def _heat(celsius: int | None) -> str:
    if celsius is None or celsius < 75:
        return ""
    return "hot" if celsius >= 85 else "warm"
