"""A GPU's figures and what runs on it, as short words with a style. Pure functions of a look at the GPUs."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from engine.contract.text import clean
from engine.contract.units import duration, gibibytes
from xray_tui.gpu.history import averages
from xray_tui.widgets.format import cut

if TYPE_CHECKING:
    from xray_tui.feeds.gpu_feed import Gpus
    from xray_tui.gpu.snapshot import GpuProcess, GpuSample

Part = tuple[str, str]
"""Text and the name of its style: "", "faint", "good", "warm", "hot", "bad"."""
Line = list[Part]

BLOCKS = "▁▂▃▄▅▆▇█"
BUSY_FROM = 10
"""%: from here on a minute's history is drawn as work."""
WARM, HOT = 75, 85
"""°C from which a temperature is coloured; most data-centre cards slow down between 85 and 95."""


def short_name(gpu: GpuSample) -> str:
    """The name without what every one of them has."""
    return clean(gpu.name).removeprefix("NVIDIA ").removeprefix("GeForce ")


def history(gpu: GpuSample, gpus: Gpus, width: int) -> Line:
    """The last minute of utilisation in `width` cells, the newest on the right; a blank where nothing is known."""
    means = averages(gpus.history.get(gpu.uuid, ()), gpus.snapshot.time, width) if width else []
    drawn = [(_block(mean), "faint" if mean is None or mean < BUSY_FROM else "good") for mean in means]
    return [("".join(block for block, _ in run), style) for style, run in groupby(drawn, key=lambda cell: cell[1])]


def _block(mean: float | None) -> str:
    return " " if mean is None else BLOCKS[min(7, max(0, int(mean / 100 * 8)))]


def utilisation(gpu: GpuSample) -> Part:
    if gpu.utilisation is None and gpu.mig:
        return " MIG", "faint"  # the driver tells nothing of a whole GPU that is split
    return f"{or_dash(gpu.utilisation):>3}%", "good" if gpu.utilisation else "faint"


def memory(gpu: GpuSample, unit: str = " GiB") -> Part:
    return f"{gibibytes(gpu.memory_used):>5}/{gibibytes(gpu.memory_total, 0)}{unit}", ""


def temperature(gpu: GpuSample) -> Part:
    celsius = gpu.temperature
    style = "" if celsius is None or celsius < WARM else "hot" if celsius >= HOT else "warm"
    return f"{or_dash(celsius):>3}°C", style


def power(gpu: GpuSample, unit: str = " W") -> Part:
    limit = f"/{gpu.power_limit:.0f}" if gpu.power_limit is not None else ""
    return f"{or_dash(gpu.power):>3}{limit}{unit}", ""


def clock(gpu: GpuSample) -> Part:
    return f"{or_dash(gpu.sm_clock):>4} MHz", "faint"


def fan(gpu: GpuSample) -> Part:
    return f"fan {or_dash(gpu.fan):>3}%" if gpu.fan is not None else " " * 8, "faint"


def or_dash(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}"


def warnings(gpu: GpuSample, gpus: Gpus) -> Line:
    """What is wrong with a GPU that gives its figures."""
    said: Line = [("stalled?", "warm")] if gpu.uuid in gpus.stalled else []
    return said + [(f"! {clean(word)}", "hot") for word in gpu.throttle]


def work(gpu: GpuSample, gpus: Gpus) -> Line:
    """Who works on it, the runs first; where nobody does, whether the queue gives it to a job."""
    runs = list(dict.fromkeys(clean(gpus.owners[p.pid].run) for p in gpu.processes or () if p.pid in gpus.owners))
    said: Line = [(_first_and_more(runs), "")] if runs else []
    if others := foreign(gpu, gpus):
        said.append((_first_and_more([who(process) for process in others]), "warm"))
    if gpu.processes is None:
        why = f" ({clean(gpu.processes_problem)})" if gpu.processes_problem else ""
        said.append((f"processes unavailable{why}", "warm"))
    if (free := is_free(gpu, gpus)) or (free is False and not runs and not others):
        said.append(("free", "good") if free else (clean(gpus.availability[gpu.uuid] or ""), "faint"))
    return said


def is_free(gpu: GpuSample, gpus: Gpus) -> bool | None:
    """Whether the queue gives the GPU to a job; None where that is not known."""
    return gpus.availability[gpu.uuid] is None if gpu.uuid in gpus.availability else None


def foreign(gpu: GpuSample, gpus: Gpus) -> list[GpuProcess]:
    """Compute processes that work for no run that we know of."""
    return [process for process in gpu.processes or () if process.computes and process.pid not in gpus.owners]


def who(process: GpuProcess) -> str:
    """The process by its user and name, as far as they can be seen."""
    seen = ": ".join(clean(word) for word in (process.user, process.name) if word)
    return seen or f"pid {process.pid}"


def process_words(process: GpuProcess, gpus: Gpus, now: float, room: int) -> Part:
    """One process as a short phrase: whose it is, its memory, its share of the multiprocessors, how long it runs; in
    `room` cells, if need be with the middle of the name left out."""
    owner = gpus.owners.get(process.pid)
    figures = [f"{gibibytes(process.memory)} GiB" if process.memory is not None else "memory n/a"]
    figures += [f"{process.sm}% SM"] if process.sm is not None else []
    figures += [duration(now - process.started)] if process.started is not None else []
    kind = f" {process.kind}" if process.kind != "C" else ""
    said = f"{kind} {', '.join(figures)}"
    name = cut(clean(owner.run) if owner else who(process), max(8, room - len(said)))
    return name + said, "" if owner else "warm" if process.computes else "faint"


def joined(parts: Sequence[Part], space: str = "  ") -> Line:
    """The parts with space between them."""
    return [part for place, one in enumerate(parts) for part in ([(space, "")] if place else []) + [one]]


def _first_and_more(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{words[0]} +{len(words) - 1}"
