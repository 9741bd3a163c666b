"""The host's line: CPU, memory, /dev/shm and the disk of the runs folder, and which of them is short."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from engine.contract.units import GIB
from xray_tui.feeds.periodic_thread import Ticking
from xray_tui.system.cgroup_limits import Memory, limited_memory
from xray_tui.system.disk_probe import DiskProbe, room
from xray_tui.system.retry import Report, unheard

SHM = Path("/dev/shm")  # noqa: S108 - looked at, never written to

LOAD_A_CORE = 1.5
"""Processes that want each core: from here on the loaders of one run wait for those of another."""
ALL_BUSY = 95
"""%, where only some cores are ours: the load is that of the whole machine and says nothing of them."""
MEMORY_LEFT, MEMORY_ENOUGH = 0.1, 16 * GIB
"""A tenth left is little, except on a machine where that is more than another training with its loaders needs."""
SHM_LEFT = 1 * GIB
"""DataLoader workers hand their batches over in /dev/shm and die of a bus error where it is full. Eight of them with
two batches each of 32 images of 512 x 512 hold 1.6 GB; a container's default of 64 MiB is always short."""
DISK_LEFT, DISK_SHARE, DISK_ENOUGH = 5 * GIB, 0.02, 50 * GIB
"""Some checkpoints of a large model fill 5 GiB. Of a disk that others fill as well 2 % are soon gone, but 2 % of a
storage of 100 TB are years of checkpoints."""


@dataclass(frozen=True, slots=True)
class Host:
    """The machine at one moment, as far as it is ours. Memory and disk in bytes; None: not known."""

    cores: int
    """Cores that this process, and so what it launches, may use."""
    all_cores: int
    cpu: int | None = None
    """How busy those cores were since the last look, %."""
    load: float | None = None
    """The whole machine's, over the last minute."""
    memory_used: int = 0
    memory_total: int = 0
    memory_limited: bool = False
    """The two are those of the container (or slice) that we are in: at its limit processes are killed."""
    shm_used: int | None = None
    shm_total: int | None = None
    disk_free: int | None = None
    disk_total: int | None = None
    disk_problem: str | None = None
    """Why the disk of the runs folder is not known: it does not answer, or the folder is gone."""


def shortages(host: Host) -> frozenset[str]:
    """What is short: "cpu", "memory", "shm", "disk". A disk that does not answer is none to write to either."""
    short = {
        "cpu": _short_of_cpu(host),
        "memory": host.memory_total - host.memory_used < min(MEMORY_LEFT * host.memory_total, MEMORY_ENOUGH),
        "shm": _short_of_shm(host),
        "disk": _short_of_disk(host),
    }
    return frozenset(name for name, is_short in short.items() if is_short)


def _short_of_cpu(host: Host) -> bool:
    if host.cores < host.all_cores:
        return host.cpu is not None and host.cpu >= ALL_BUSY
    return host.load is not None and host.load > LOAD_A_CORE * host.cores


def _short_of_disk(host: Host) -> bool:
    if host.disk_free is None or host.disk_total is None:
        return host.disk_problem is not None
    return host.disk_free < max(DISK_LEFT, min(DISK_SHARE * host.disk_total, DISK_ENOUGH))


def _short_of_shm(host: Host) -> bool:
    return host.shm_used is not None and host.shm_total is not None and host.shm_total - host.shm_used < SHM_LEFT


class HostFeed(Ticking):
    """A thread that looks every two seconds, and calls `on_host` when something has changed by as much as is shown."""

    def __init__(self, runs: Path, on_host: Callable[[Host], None], on_failure: Report = unheard) -> None:
        super().__init__(2.0, "host", "looking at the host", on_failure)
        self._cpu = Cpu()
        self._disk = DiskProbe(runs)
        self._on_host = on_host
        self._told: Host | None = None

    def tick(self) -> None:
        host = look(self._cpu, self._disk)
        rough = _rough(host)
        if rough != self._told and not self.stopping:
            self._told = rough
            self._on_host(host)


def look(cpu: Cpu, disk: DiskProbe) -> Host:
    """The machine now. Waits for a slow disk no longer than DiskProbe does."""
    ours = os.sched_getaffinity(0)
    runs, shm = disk.read(), room(SHM)
    host = Host(
        len(ours),
        max(os.cpu_count() or 1, len(ours)),
        cpu.busy(ours),
        disk_free=runs.free,
        disk_total=runs.total,
        disk_problem=runs.problem,
    )
    with contextlib.suppress(OSError):
        host = replace(host, load=os.getloadavg()[0])
    if shm.free is not None and shm.total is not None:
        host = replace(host, shm_used=shm.total - shm.free, shm_total=shm.total)
    memory, limited = _memory()
    return replace(host, memory_used=memory.used, memory_total=memory.total, memory_limited=limited)


class Cpu:
    """How busy cores were between two looks, both of the same thread."""

    def __init__(self) -> None:
        self._begun = False

    def busy(self, cores: set[int]) -> int | None:
        """The mean of these cores, %; None at the first look."""
        import psutil

        try:
            each = psutil.cpu_percent(percpu=True)
        except OSError:
            return None
        ours = [each[core] for core in cores if core < len(each)] or each
        begun, self._begun = self._begun, True
        return round(sum(ours) / len(ours)) if begun and ours else None


def _memory() -> tuple[Memory, bool]:
    """The memory whose end comes first, the machine's or that of a limit on us; and whether it is the limit's."""
    import psutil

    all_memory = psutil.virtual_memory()
    machine = Memory(all_memory.total - all_memory.available, all_memory.total)
    limit = None
    with contextlib.suppress(OSError):
        limit = limited_memory(Path("/proc/self/cgroup").read_text())
    if limit is not None and limit.total < machine.total and limit.left < machine.left:
        return limit, True
    return machine, False


def _rough(host: Host) -> Host:
    """The same as exact as it is shown: tenths of the load, 64 MiB."""
    return replace(
        host,
        load=None if host.load is None else round(host.load, 1),
        memory_used=host.memory_used >> 26,
        shm_used=None if host.shm_used is None else host.shm_used >> 26,
        disk_free=None if host.disk_free is None else host.disk_free >> 26,
    )
