"""Short texts for a GPU's figures and processes, with the styles faint, good, warm, hot and bad. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from engine.contract.text import clean
from engine.contract.units import duration, gibibytes
from xray_tui.gpu.history import Figure, averages
from xray_tui.widgets.format import Line, Part, cut

if TYPE_CHECKING:
    from xray_tui.feeds.gpu_feed import Gpus
    from xray_tui.gpu.snapshot import GpuProcess, GpuSample

BUSY_FROM = 10
"""Figures in % from which the history is drawn as work."""
WARM, HOT = 75, 85
"""Temperatures in °C from which the text is coloured; most data-centre GPUs throttle between 85 and 95."""


def short_name(gpu: GpuSample) -> str:
    """The name without the vendor and brand."""
    return clean(gpu.name).removeprefix("NVIDIA ").removeprefix("GeForce ")


def history(gpu: GpuSample, gpus: Gpus, width: int, figure: Figure = "utilisation") -> Line:
    """The last minute of a figure in `width` cells, newest on the right; blank where there is no sample."""
    means = averages(gpus.history.get(gpu.uuid, ()), gpus.snapshot.time, width, figure) if width else []
    drawn = [(column(mean), "faint" if mean is None or mean < BUSY_FROM else "good") for mean in means]
    return [("".join(block for block, _ in run), style) for style, run in groupby(drawn, key=lambda cell: cell[1])]


def column(mean: float | None) -> str:
    """A bar for a figure in %, one character high; blank for None."""
    return " " if mean is None else "▁▂▃▄▅▆▇█"[max(0, min(7, int(mean / 100 * 8)))]


def utilisation(gpu: GpuSample) -> Part:
    if gpu.utilisation is None and gpu.mig:
        return " MIG", "faint"  # the driver reports no utilisation of a GPU split by MIG
    return f"{or_dash(gpu.utilisation):>3}%", "good" if gpu.utilisation else "faint"


def memory(gpu: GpuSample) -> Part:
    return f"{gibibytes(gpu.memory_used):>5}/{gibibytes(gpu.memory_total, 0)}G", ""


def temperature(gpu: GpuSample) -> Part:
    celsius = gpu.temperature
    style = "" if celsius is None or celsius < WARM else "hot" if celsius >= HOT else "warm"
    return f"{or_dash(celsius):>3}°C", style


def power(gpu: GpuSample) -> Part:
    limit = f"/{gpu.power_limit:.0f}" if gpu.power_limit is not None else ""
    return f"{or_dash(gpu.power):>3}{limit}W", ""


def or_dash(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}"


def warnings(gpu: GpuSample, gpus: Gpus) -> Line:
    """A suspected stall, and the reasons for throttling."""
    stalled: Line = [("stalled?", "warm")] if gpu.uuid in gpus.stalled else []
    return stalled + [(f"! {clean(reason)}", "hot") for reason in gpu.throttle]


def work(gpu: GpuSample, gpus: Gpus) -> Line:
    """The runs and foreign processes on the GPU, and `free` if a job can get it; if it is unused, why none can."""
    runs = list(dict.fromkeys(clean(gpus.owners[p.pid].run) for p in gpu.processes or () if p.pid in gpus.owners))
    parts: Line = [(_first_and_more(runs), "")] if runs else []
    if others := foreign(gpu, gpus):
        parts.append((_first_and_more([process_name(process) for process in others]), "warm"))
    if gpu.processes is None:
        why = f" ({clean(gpu.processes_problem)})" if gpu.processes_problem else ""
        parts.append((f"processes unavailable{why}", "warm"))
    if (free := is_free(gpu, gpus)) or (free is False and not runs and not others):
        parts.append(("free", "good") if free else (clean(gpus.availability[gpu.uuid] or ""), "faint"))
    return parts


def is_free(gpu: GpuSample, gpus: Gpus) -> bool | None:
    """Whether the queue would give the GPU to the next job; None if that is unknown."""
    return gpus.availability[gpu.uuid] is None if gpu.uuid in gpus.availability else None


def foreign(gpu: GpuSample, gpus: Gpus) -> list[GpuProcess]:
    """Compute processes that belong to no known run."""
    return [process for process in gpu.processes or () if process.computes and process.pid not in gpus.owners]


def process_name(process: GpuProcess) -> str:
    """`USER: NAME`, or the part of it that is readable, or the pid if neither is."""
    name = ": ".join(clean(word) for word in (process.user, process.name) if word)
    return name or f"pid {process.pid}"


def process_summary(process: GpuProcess, gpus: Gpus, now: float, room: int) -> Part:
    """The run or name of a process, its memory, SM usage and running time, in `room` cells; cuts a long name."""
    owner = gpus.owners.get(process.pid)
    figures = [f"{gibibytes(process.memory)} GiB" if process.memory is not None else "memory n/a"]
    figures += [f"{process.sm}% SM"] if process.sm is not None else []
    figures += [duration(now - process.started)] if process.started is not None else []
    kind = f" {process.kind}" if process.kind != "C" else ""
    details = f"{kind} {', '.join(figures)}"
    name = cut(clean(owner.run) if owner else process_name(process), max(8, room - len(details)))
    return name + details, "" if owner else "warm" if process.computes else "faint"


def _first_and_more(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{words[0]} +{len(words) - 1}"
