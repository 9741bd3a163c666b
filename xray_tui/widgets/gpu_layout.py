"""The GPU strip's rows for a width and a height: in detail, a line a GPU, or several GPUs on a line. Pure functions."""

from __future__ import annotations

import math
import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING

from engine.contract.text import clean
from engine.contract.units import duration, gibibytes
from xray_tui.widgets import gpu_format as words
from xray_tui.widgets.format import bar, cells, cut, cut_end, fit
from xray_tui.widgets.gpu_format import Line, Part, joined, or_dash

if TYPE_CHECKING:
    from collections.abc import Sequence

    from xray_tui.feeds.gpu_feed import Gpus
    from xray_tui.gpu.snapshot import GpuSample, GpuSnapshot

OLD = 3.0
"""Seconds from which on the strip says how old its figures are."""

NAME, NAME_AT_MOST = 14, 24
"""Cells of a GPU's name: what it gets where room is short, and at most."""
HISTORY = (30, 20, 15, 10)
"""Cells of the minute's history: of these the widest that leaves two thirds of the room to others."""
SAID = 14
"""Cells that the name leaves to what is said at a line's end."""
WIDE = 104
"""Cells from which a line has clock and fan, and units with spaces."""


@dataclass(frozen=True, slots=True)
class Cell:
    """A stretch of a row that belongs to one GPU, by its place among them, or to none."""

    gpu: int | None
    parts: Line


Row = list[Cell]


def gpu_rows(gpus: Gpus | None, width: int, most: int, detailed: bool, now: float) -> list[Row]:
    """Every GPU in at most `most` rows, as fully as they allow: two rows each (only if `detailed`), one each, or
    several on a row. One more row says how old the figures are, if they are. Or a row or two why there is no GPU."""
    if gpus is None:
        return [[Cell(None, [("GPU  ", "faint"), ("looking …", "faint")])]]
    snapshot = gpus.snapshot
    if not snapshot.gpus:
        said = textwrap.wrap(clean(snapshot.problem or "none found"), max(20, width - 5))[:2]
        return [[Cell(None, [("     " if place else "GPU  ", "faint"), (line, "")])] for place, line in enumerate(said)]
    count = len(snapshot.gpus)
    if detailed and 2 * count <= most:
        rows = _detailed(gpus, width, now)
    elif count <= most:
        rows = _one_each(gpus, width, now)
    else:
        rows = _several(gpus, width, most)
    if (old := how_old(snapshot, now)) is None:
        return rows
    return [[Cell(None, [(old, "warm")])], *([Cell(cell.gpu, dimmed(cell.parts)) for cell in row] for row in rows)]


def how_old(snapshot: GpuSnapshot, now: float) -> str | None:
    """How old its figures are, and why; None where they are of now."""
    seconds = snapshot.age(now)
    if snapshot.stale is None and seconds < OLD:
        return None
    why = f" · {clean(snapshot.stale)}" if snapshot.stale else ""
    return f"? {f'{seconds:.0f} s' if seconds < 100 else duration(seconds)} old{why}"


def dimmed(parts: Line) -> Line:
    return [(text, "faint") for text, _ in parts]


@dataclass(frozen=True, slots=True)
class _Widths:
    """The columns of lines with one GPU each."""

    index: int
    name: int
    history: int
    wide: bool
    fan: bool


def _widths(gpus: Sequence[GpuSample], width: int) -> _Widths:
    wide = width >= WIDE
    fan = wide and any(gpu.fan is not None for gpu in gpus)
    index = len(str(max(gpu.index for gpu in gpus)))
    figures = 5 + (15 if wide else 11) + 7 + (12 if wide else 10) + (10 if wide else 0) + (10 if fan else 0)
    room = width - len("GPU ") - index - 2 - figures
    history = next((cells for cells in HISTORY if cells <= room // 3), 0)
    longest = max(cells(words.short_name(gpu)) for gpu in gpus)
    name = min(longest, max(NAME, min(NAME_AT_MOST, room - history - SAID)), max(4, room - history))
    return _Widths(index, name, history, wide, fan)


def _head(gpu: GpuSample, widths: _Widths) -> Line:
    name = fit(words.short_name(gpu), widths.name)
    return [("GPU ", "faint"), (f"{gpu.index:>{widths.index}} ", ""), (f"{name} ", "")]


def _figures(gpu: GpuSample, widths: _Widths) -> Line:
    """Utilisation, memory, temperature, power; where there is room, clock and fan, and units with spaces."""
    power, style = words.power(gpu, " W" if widths.wide else "W")
    figures = [
        words.utilisation(gpu),
        words.memory(gpu, " GiB" if widths.wide else "G"),
        words.temperature(gpu),
        (power.ljust(10 if widths.wide else 8), style),
    ]
    figures += [words.clock(gpu)] if widths.wide else []
    figures += [words.fan(gpu)] if widths.fan else []
    space = "  " if widths.wide else " "
    return [(" ", ""), *joined(figures, space), ("  ", "")]


def _trouble(gpu: GpuSample, now: float) -> Line:
    """Why it gives no figures, and for how long that has been so."""
    assert gpu.problem is not None
    lasting = "" if gpu.since is None or now - gpu.since < 1 else f" for {duration(now - gpu.since)}"
    what, colon, advice = clean(gpu.problem).partition(":")
    return [(f"! {what}{lasting}{colon}{advice}", "bad")]


def _one_each(gpus: Gpus, width: int, now: float) -> list[Row]:
    widths = _widths(gpus.snapshot.gpus, width)
    rows = []
    for place, gpu in enumerate(gpus.snapshot.gpus):
        parts = [*_head(gpu, widths), *_trouble(gpu, now)] if gpu.problem else _full_line(gpu, gpus, widths, width)
        rows.append([Cell(place, _cut(parts, width))])
    return rows


def _full_line(gpu: GpuSample, gpus: Gpus, widths: _Widths, width: int) -> Line:
    """Figures and what is to be said; a warning that has no room there stands in place of name and history."""
    warnings, work = words.warnings(gpu, gpus), words.work(gpu, gpus)
    head, minute, figures = _head(gpu, widths), words.history(gpu, gpus, widths.history), _figures(gpu, widths)
    room = width - _length([*head, *minute, *figures])
    if warnings and _length(joined(warnings)) + 2 + min(_length(joined(work)), SAID) > room:
        space = widths.name + 1 + widths.history
        said = "  ".join(text for text, _ in warnings)
        return [*head[:-1], (fit(cut_end(said, space), space), warnings[-1][1]), *figures, *joined(work)]
    return [*head, *minute, *figures, *joined([*warnings, *work])]


def _length(parts: Line) -> int:
    return sum(cells(text) for text, _ in parts)


def _detailed(gpus: Gpus, width: int, now: float) -> list[Row]:
    """Two lines a GPU: its figures; a bar of its memory, what is wrong, and the processes that hold it."""
    widths = _widths(gpus.snapshot.gpus, width)
    indent = len("GPU ") + widths.index + 1
    rows = []
    for place, gpu in enumerate(gpus.snapshot.gpus):
        head = _head(gpu, widths)
        if gpu.problem:
            rows += [[Cell(place, _cut([*head, *_trouble(gpu, now)], width))], [Cell(place, [])]]
            continue
        first = [*head, *words.history(gpu, gpus, widths.history), *_figures(gpu, widths)]
        used, free = _memory_bar(gpu, widths.name + 1 + widths.history)
        second: Line = [(" " * indent, ""), (used, "good"), (free, "faint"), ("  ", "")]
        if not widths.wide:
            second += [words.clock(gpu), ("  ", ""), *([words.fan(gpu), ("  ", "")] if gpu.fan is not None else [])]
        room = width - _length(second)
        second += joined([*words.warnings(gpu, gpus), *_holders(gpu, gpus, now, room)])
        rows += [[Cell(place, _cut(first, width))], [Cell(place, _cut(second, width))]]
    return rows


def _memory_bar(gpu: GpuSample, width: int) -> tuple[str, str]:
    """How full its memory is; a blank where the driver does not say."""
    if gpu.memory_used is None or not gpu.memory_total:
        return "", " " * width
    return bar(gpu.memory_used / gpu.memory_total, width)


def _holders(gpu: GpuSample, gpus: Gpus, now: float, room: int) -> Line:
    """The processes, the largest first; where none of them computes, what the queue says of the GPU before them."""
    said = [words.process_words(process, gpus, now, room) for process in gpu.processes or ()]
    if not any(process.computes or process.pid in gpus.owners for process in gpu.processes or ()):
        said = [*words.work(gpu, gpus), *said]
    return said


def _cut(parts: Line, width: int) -> Line:
    """The parts in at most `width` cells; one that does not fit is cut, those after it are left out.

    Names lose their middle, because they differ at their ends; sentences lose their end.
    """
    kept: Line = []
    for text, style in parts:
        if (needed := cells(text)) > width:
            kept.append((cut(text, width) if style == "" else cut_end(text, width), style))
            break
        kept.append((text, style))
        width -= needed
    return kept


# Several GPUs on a row


def _several(gpus: Gpus, width: int, most: int) -> list[Row]:
    """Cells with as much of each GPU as lets all of them into the rows; else as many as fit, and how many more."""
    count = len(gpus.snapshot.gpus)
    make, size = next(
        ((make, size) for make, size in _CELLS if math.ceil(count / max(1, width // size)) <= most), _CELLS[-1]
    )
    columns = max(1, width // size)
    made = [Cell(place, make(gpu, gpus)) for place, gpu in enumerate(gpus.snapshot.gpus[: most * columns])]
    if count > len(made):
        made[-1] = Cell(None, [(fit(f"+{count - len(made) + 1} more", size), "faint")])
    return [made[start : start + columns] for start in range(0, len(made), columns)]


def _large_cell(gpu: GpuSample, gpus: Gpus) -> Line:
    """Index, state, history, utilisation, memory, temperature, power: 38 cells."""
    if gpu.problem:
        return [*_index(gpu, gpus), (_problem(gpu, 33), "bad"), ("  ", "")]
    return [
        *_index(gpu, gpus), *words.history(gpu, gpus, 6), words.utilisation(gpu), (" ", ""), _short_memory(gpu),
        words.temperature(gpu), (fit(f" {or_dash(gpu.power)}W", 8), "faint"),
    ]  # fmt: skip


def _middle_cell(gpu: GpuSample, gpus: Gpus) -> Line:
    """Index, state, utilisation, memory, temperature: 24 cells."""
    if gpu.problem:
        return [*_index(gpu, gpus), (_problem(gpu, 19), "bad"), ("  ", "")]
    return [
        *_index(gpu, gpus),
        words.utilisation(gpu),
        (" ", ""),
        _short_memory(gpu),
        words.temperature(gpu),
        ("  ", ""),
    ]


def _small_cell(gpu: GpuSample, gpus: Gpus) -> Line:
    """Index, state, utilisation, memory used: 13 cells."""
    if gpu.problem:
        return [*_index(gpu, gpus), (_problem(gpu, 9), "bad"), (" ", "")]
    used = fit(f"{gibibytes(gpu.memory_used, 0)}G", 4, "right")
    return [*_index(gpu, gpus), words.utilisation(gpu), (used, ""), (" ", "")]


_CELLS = ((_large_cell, 38), (_middle_cell, 24), (_small_cell, 13))


def _index(gpu: GpuSample, gpus: Gpus) -> Line:
    return [(f"{gpu.index:>2}", ""), _sign(gpu, gpus)]


def _sign(gpu: GpuSample, gpus: Gpus) -> Part:
    """One sign for its state: lost or without values, stalled or slowed down, free, taken."""
    if gpu.problem:
        return "!", "bad"
    if gpu.throttle:
        return "!", "hot"
    if gpu.uuid in gpus.stalled:
        return "?", "warm"
    free = words.is_free(gpu, gpus)
    return (" ", "") if free is None else ("○", "good") if free else ("●", "good" if gpu.utilisation else "faint")


def _problem(gpu: GpuSample, width: int) -> str:
    """The problem's short word, which stands before its colon."""
    return fit(cut_end(clean(gpu.problem or "").partition(":")[0], width), width)


def _short_memory(gpu: GpuSample) -> Part:
    return fit(f"{gibibytes(gpu.memory_used, 0)}/{gibibytes(gpu.memory_total, 0)}G", 9, "right"), ""
