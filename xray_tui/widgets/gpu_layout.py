"""Pure functions that lay out the GPU strip for a given size: two lines per GPU, one, or several GPUs per line."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, NamedTuple

from engine.contract.text import clean
from engine.contract.units import duration, gibibytes
from xray_tui.widgets import gpu_format
from xray_tui.widgets.format import Line, Part, bar, cells, cells_of, cut, cut_end, fit, joined
from xray_tui.widgets.gpu_format import or_dash

if TYPE_CHECKING:
    from collections.abc import Sequence

    from xray_tui.feeds.gpu_feed import Gpus
    from xray_tui.gpu.snapshot import GpuSample, GpuSnapshot

STALE_AFTER = 3.0
"""Age in seconds from which the strip shows the age of its figures."""

NAME, NAME_MAX = 14, 24
"""Widths in cells of a GPU's name: when space is short, and the maximum."""
HISTORY = (30, 20, 15, 10)
"""Possible widths of the history in cells; the widest one that leaves two thirds of the space is used."""
REMARKS = 14
"""Width in cells reserved for the remarks at a line's end."""
FIGURES = 35
"""Width in cells of utilisation, memory, temperature and power, with the spaces around them."""
LARGE, SMALL = 38, 13
"""Widths in cells of a GPU if several share a line: with its history, temperature and power, and without them."""


class Cell(NamedTuple):
    """A part of a row that belongs to one GPU."""

    gpu: int | None
    """Index among the GPUs shown; None if the part belongs to no GPU."""
    parts: Line


Row = list[Cell]


def gpu_rows(gpus: Gpus | None, width: int, max_rows: int, detailed: bool, now: float) -> list[Row]:
    """All GPUs in at most `max_rows` rows: two rows per GPU (only if `detailed`), one, or several GPUs per row. An
    extra row shows the age of stale figures. If there are no GPUs, one or two rows give the reason."""
    if gpus is None:
        return [[Cell(None, [("GPU  ", "faint"), ("reading …", "faint")])]]
    snapshot = gpus.snapshot
    if not snapshot.gpus:
        lines = textwrap.wrap(clean(snapshot.problem or "none found"), max(20, width - 5))[:2]
        return [[Cell(None, [("     " if i else "GPU  ", "faint"), (line, "")])] for i, line in enumerate(lines)]
    count = len(snapshot.gpus)
    if count > max_rows:
        rows = _several(gpus, width, max_rows)
    else:
        rows = _one_each(gpus, width, detailed and 2 * count <= max_rows, now)
    if (old := age_line(snapshot, now)) is None:
        return rows
    return [[Cell(None, [(old, "warm")])], *([Cell(cell.gpu, dimmed(cell.parts)) for cell in row] for row in rows)]


def age_line(snapshot: GpuSnapshot, now: float) -> str | None:
    """The age of stale figures with the reason; None if they are current."""
    seconds = snapshot.age(now)
    if snapshot.stale is None and seconds < STALE_AFTER:
        return None
    why = f" · {clean(snapshot.stale)}" if snapshot.stale else ""
    return f"? {f'{seconds:.0f} s' if seconds < 100 else duration(seconds)} old{why}"


def dimmed(parts: Line) -> Line:
    return [(text, "faint") for text, _ in parts]


class _Widths(NamedTuple):
    """Column widths in cells of lines with one GPU each."""

    digits: int
    name: int
    history: int


def _widths(gpus: Sequence[GpuSample], width: int) -> _Widths:
    digits = len(str(max(gpu.index for gpu in gpus)))
    room = width - len("GPU ") - digits - 2 - FIGURES
    history = next((cells for cells in HISTORY if cells <= room // 3), 0)
    longest = max(cells(gpu_format.short_name(gpu)) for gpu in gpus)
    name = min(longest, max(NAME, min(NAME_MAX, room - history - REMARKS)), max(4, room - history))
    return _Widths(digits, name, history)


def _head(gpu: GpuSample, widths: _Widths) -> Line:
    name = fit(gpu_format.short_name(gpu), widths.name)
    return [("GPU ", "faint"), (f"{gpu.index:>{widths.digits}} ", ""), (f"{name} ", "")]


def _figures(gpu: GpuSample) -> Line:
    """Utilisation, memory, temperature and power."""
    power, style = gpu_format.power(gpu)
    figures = (gpu_format.utilisation(gpu), gpu_format.memory(gpu), gpu_format.temperature(gpu))
    return [(" ", ""), *joined([*figures, (power.ljust(8), style)], " "), ("  ", "")]


def _trouble(gpu: GpuSample, now: float) -> Line:
    """Why the GPU has no figures, and for how long."""
    assert gpu.problem is not None
    duration_text = "" if gpu.since is None or now - gpu.since < 1 else f" for {duration(now - gpu.since)}"
    what, colon, advice = clean(gpu.problem).partition(":")
    return [(f"! {what}{duration_text}{colon}{advice}", "bad")]


def _one_each(gpus: Gpus, width: int, detailed: bool, now: float) -> list[Row]:
    widths = _widths(gpus.snapshot.gpus, width)
    rows = []
    for index, gpu in enumerate(gpus.snapshot.gpus):
        if gpu.problem:
            lines = [[*_head(gpu, widths), *_trouble(gpu, now)], *([[]] if detailed else [])]
        elif detailed:
            first = [*_head(gpu, widths), *gpu_format.history(gpu, gpus, widths.history), *_figures(gpu)]
            lines = [first, _second_line(gpu, gpus, widths, width, now)]
        else:
            lines = [_full_line(gpu, gpus, widths, width)]
        rows += [[Cell(index, _cut(line, width))] for line in lines]
    return rows


def _full_line(gpu: GpuSample, gpus: Gpus, widths: _Widths, width: int) -> Line:
    """Head, history, figures and remarks; a warning that does not fit replaces name and history."""
    warnings, work = gpu_format.warnings(gpu, gpus), gpu_format.work(gpu, gpus)
    head, minute, figures = _head(gpu, widths), gpu_format.history(gpu, gpus, widths.history), _figures(gpu)
    room = width - cells_of([*head, *minute, *figures])
    if warnings and cells_of(joined(warnings)) + 2 + min(cells_of(joined(work)), REMARKS) > room:
        space = widths.name + 1 + widths.history
        warning = "  ".join(text for text, _ in warnings)
        return [*head[:-1], (fit(cut_end(warning, space), space), warnings[-1][1]), *figures, *joined(work)]
    return [*head, *minute, *figures, *joined([*warnings, *work])]


def _second_line(gpu: GpuSample, gpus: Gpus, widths: _Widths, width: int, now: float) -> Line:
    """The memory bar (blank if the driver does not report the memory), clock, fan, warnings, and the processes, largest
    first. If no process computes, the GPU's availability precedes them."""
    room = widths.name + 1 + widths.history
    used, free = "", " " * room
    if gpu.memory_used is not None and gpu.memory_total:
        used, free = bar(gpu.memory_used / gpu.memory_total, room)
    line: Line = [(" " * (len("GPU ") + widths.digits + 1), ""), (used, "good"), (free, "faint"), ("  ", "")]
    line += [(f"{or_dash(gpu.sm_clock):>4} MHz  ", "faint")]
    line += [(f"fan {gpu.fan:>3}%  ", "faint")] if gpu.fan is not None else []
    parts = gpu_format.warnings(gpu, gpus)
    if not any(process.computes or process.pid in gpus.owners for process in gpu.processes or ()):
        parts += gpu_format.work(gpu, gpus)
    room = width - cells_of(line)
    parts += [gpu_format.process_summary(process, gpus, now, room) for process in gpu.processes or ()]
    return [*line, *joined(parts)]


def _cut(parts: Line, width: int) -> Line:
    """The parts in at most `width` cells; the first that does not fit is cut, the parts after it are dropped.

    Names lose their middle, because they differ at their ends; sentences lose their ends.
    """
    kept: Line = []
    for text, style in parts:
        if (needed := cells(text)) > width:
            kept.append((cut(text, width) if style == "" else cut_end(text, width), style))
            break
        kept.append((text, style))
        width -= needed
    return kept


# Several GPUs per row


def _several(gpus: Gpus, width: int, max_rows: int) -> list[Row]:
    """Large cells if all GPUs fit, otherwise small ones; if these do not fit either, the last cell counts the rest."""
    count = len(gpus.snapshot.gpus)
    size = LARGE if count <= max_rows * (width // LARGE) else SMALL
    columns = max(1, width // size)
    shown = gpus.snapshot.gpus[: max_rows * columns]
    made = [Cell(index, _cell(gpu, gpus, size)) for index, gpu in enumerate(shown)]
    if count > len(made):
        made[-1] = Cell(None, [(fit(f"+{count - len(made) + 1} more", size), "faint")])
    return [made[start : start + columns] for start in range(0, len(made), columns)]


def _cell(gpu: GpuSample, gpus: Gpus, size: int) -> Line:
    """Index, state, utilisation and memory of a GPU, or its problem up to the colon, in `size` cells."""
    head: Line = [(f"{gpu.index:>2}", ""), _sign(gpu, gpus)]
    if gpu.problem:
        room = size - 4
        return [*head, (fit(cut_end(clean(gpu.problem).partition(":")[0], room), room), "bad"), (" ", "")]
    used = gibibytes(gpu.memory_used, 0)
    if size == SMALL:
        return [*head, gpu_format.utilisation(gpu), (fit(f"{used}G", 5, "right"), ""), (" ", "")]
    memory = fit(f"{used}/{gibibytes(gpu.memory_total, 0)}G", 10, "right")
    return [
        *head, *gpu_format.history(gpu, gpus, 6), gpu_format.utilisation(gpu), (memory, ""),
        gpu_format.temperature(gpu), (fit(f" {or_dash(gpu.power)}W", 10), "faint"),
    ]  # fmt: skip


def _sign(gpu: GpuSample, gpus: Gpus) -> Part:
    """One sign for the GPU's state: failing, throttled, stalled, free or taken."""
    if gpu.problem:
        return "!", "bad"
    if gpu.throttle:
        return "!", "hot"
    if gpu.uuid in gpus.stalled:
        return "?", "warm"
    free = gpu_format.is_free(gpu, gpus)
    return (" ", "") if free is None else ("○", "good") if free else ("●", "good" if gpu.utilisation else "faint")
