"""The host on one line: CPU, memory, /dev/shm and the disk of the runs folder. Pure functions."""

from __future__ import annotations

import os
from pathlib import Path

from engine.contract.text import clean
from engine.contract.units import GIB, gibibytes
from xray_tui.feeds.host_feed import Host, shortages
from xray_tui.system.process import user
from xray_tui.widgets.format import Line, Part, cells_of, joined


def location(runs: Path) -> str:
    """User, host and runs folder for the title line: `ana@gpu7  ~/runs`."""
    path = clean(str(runs))
    home = clean(str(Path.home())) + "/"
    return f"{user()}@{clean(os.uname().nodename)}  {'~/' + path.removeprefix(home) if path.startswith(home) else path}"


def host_line(host: Host, width: int) -> Line:
    """The host's resources. Those running short are coloured, marked `!`, and come first if not all fit."""
    short = shortages(host)
    limit = " limit" if host.memory_limited else ""
    texts = {
        "cpu": _cpu(host),
        "memory": f"RAM {_of(host.memory_used, host.memory_total)}{limit}" if host.memory_total else "",
        "shm": f"shm {_of(host.shm_used, host.shm_total)}" if host.shm_total else "",
        "disk": f"disk {clean(host.disk_problem)}" if host.disk_problem else "",
    }
    if host.disk_free is not None:
        texts["disk"] = f"disk {_gib(host.disk_free)}G free"
    parts: list[Part] = [(f"! {text}", "warm") if name in short else (text, "") for name, text in texts.items() if text]
    if cells_of(joined(parts)) > width:
        parts.sort(key=lambda part: part[1] != "warm")
    wide = joined(parts, "   ")
    return wide if cells_of(wide) <= width else joined(parts)


def _cpu(host: Host) -> str:
    """CPU usage. The load is added only if all cores are usable, because it covers the whole machine."""
    busy = "  -" if host.cpu is None else f"{host.cpu:>3}"
    if host.load is None or host.cores < host.all_cores:
        return f"CPU {busy}% of {host.cores} cores"
    return f"CPU {busy}%, load {host.load:>5.1f} on {host.cores} cores"


def _of(used: int | None, total: int) -> str:
    """Used and total GiB; the used figure keeps its width while it changes."""
    whole = _gib(total)
    return f"{_gib(used):>{max(3, len(whole))}}/{whole}G"


def _gib(count: int | None) -> str:
    """A number of bytes in GiB, with one decimal below 10 unless that decimal is 0."""
    gib = (count or 0) / GIB
    return gibibytes(count, int(gib < 10 and round(gib, 1) != round(gib)))
