"""The host on one line: CPU, memory, /dev/shm and the disk of the runs folder. Pure functions."""

from __future__ import annotations

from engine.contract.text import clean
from engine.contract.units import GIB, gibibytes
from xray_tui.feeds.host_feed import Host, shortages
from xray_tui.widgets.format import Line, Part, cells_of, joined


def host_line(host: Host, width: int) -> Line:
    """The host's resources. Short ones are coloured, marked `!`, and come first if not all fit into `width`."""
    short = shortages(host)
    texts = {"cpu": cpu(host), "memory": memory(host), "shm": shm(host), "disk": disk(host)}
    parts: list[Part] = [(f"! {text}", "warm") if name in short else (text, "") for name, text in texts.items() if text]
    if cells_of(joined(parts)) > width:
        parts.sort(key=lambda part: part[1] != "warm")
    wide = joined(parts, "   ")
    return wide if cells_of(wide) <= width else joined(parts)


def cpu(host: Host) -> str:
    """CPU usage, with the load if all cores are usable, because it covers the whole machine."""
    busy = "  -" if host.cpu is None else f"{host.cpu:>3}"
    if host.load is None or host.cores < host.all_cores:
        return f"CPU {busy}% of {host.cores} cores"
    return f"CPU {busy}%, load {host.load:.1f} on {host.cores} cores"


def memory(host: Host) -> str:
    limit = " limit" if host.memory_limited else ""
    return f"RAM {size(host.memory_used)}/{size(host.memory_total)}G{limit}" if host.memory_total else ""


def shm(host: Host) -> str:
    if host.shm_used is None or host.shm_total is None:
        return ""
    return f"shm {size(host.shm_used)}/{size(host.shm_total)}G"


def disk(host: Host) -> str:
    if host.disk_free is None:
        return f"disk {clean(host.disk_problem)}" if host.disk_problem else ""
    return f"disk {size(host.disk_free)}G free"


def size(count: int) -> str:
    """Bytes in GiB, with one decimal below 10 unless it is 0."""
    gib = count / GIB
    return gibibytes(count, int(gib < 10 and round(gib, 1) != round(gib)))
