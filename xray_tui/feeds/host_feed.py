"""The host feed reports CPU, memory, /dev/shm and the disk of the runs folder, and which of them are short."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from engine.contract.units import GIB
from xray_tui.feeds.periodic_thread import PeriodicThread
from xray_tui.system.cgroups import Memory, limited_memory
from xray_tui.system.disk_probe import DiskProbe, room
from xray_tui.system.retry import Report, unheard

SHM = Path("/dev/shm")  # noqa: S108 - only read

LOAD_PER_CORE = 1.5
"""Load per core above which the data loaders of the runs wait for each other."""
CPU_BUSY = 95
"""CPU usage in % from which the CPU is short if only some cores are usable, because the load covers all cores."""
MEMORY_SHARE, MEMORY_ENOUGH = 0.1, 16 * GIB
"""Memory is short below a tenth of the total, but not above 16 GiB, which another training with its loaders fits in."""
SHM_MIN = 1 * GIB
"""Bytes below which /dev/shm is short: DataLoader workers pass batches through it and crash with a bus error when it is
full. Eight workers with two batches of 32 images of 512 x 512 use 1.6 GB; a container's 64 MiB is always short."""
DISK_MIN, DISK_SHARE, DISK_ENOUGH = 5 * GIB, 0.02, 50 * GIB
"""The disk is short below 5 GiB (a few checkpoints of a large model), or below 2 % because other users fill it too, but
not above 50 GiB, because 2 % of 100 TB would hold years of checkpoints."""


@dataclass(frozen=True, slots=True)
class Host:
    """The usable resources of the machine at one moment. Memory and disk are in bytes; None means unknown."""

    cores: int
    """Cores that this process and its jobs can use."""
    all_cores: int
    cpu: int | None = None
    """Mean usage of those cores since the previous reading, in %."""
    load: float | None = None
    """Load of the whole machine, averaged over the last minute."""
    memory_used: int = 0
    memory_total: int = 0
    memory_limited: bool = False
    """Whether used and total memory are those of a container or slice, which kills processes at its limit."""
    shm_used: int | None = None
    shm_total: int | None = None
    disk_free: int | None = None
    disk_total: int | None = None
    disk_problem: str | None = None
    """Why the state of the runs folder's disk is unknown, such as no answer or a missing folder."""


def shortages(host: Host) -> frozenset[str]:
    """The resources that are short: "cpu", "memory", "shm", "disk". A disk that does not answer counts as short."""
    if host.cores < host.all_cores:
        short_of_cpu = host.cpu is not None and host.cpu >= CPU_BUSY
    else:
        short_of_cpu = host.load is not None and host.load > LOAD_PER_CORE * host.cores
    if host.disk_free is None or host.disk_total is None:
        short_of_disk = host.disk_problem is not None
    else:
        short_of_disk = host.disk_free < max(DISK_MIN, min(DISK_SHARE * host.disk_total, DISK_ENOUGH))
    short = {
        "cpu": short_of_cpu,
        "memory": host.memory_total - host.memory_used < min(MEMORY_SHARE * host.memory_total, MEMORY_ENOUGH),
        "shm": host.shm_total is not None and host.shm_total - (host.shm_used or 0) < SHM_MIN,
        "disk": short_of_disk,
    }
    return frozenset(name for name, is_short in short.items() if is_short)


class HostFeed(PeriodicThread):
    """A thread that reads the host every two seconds and calls `on_host` after a visible change. Sizes are compared
    in steps of 64 MiB, the load in tenths."""

    def __init__(self, runs: Path, on_host: Callable[[Host], None], on_failure: Report = unheard) -> None:
        super().__init__(2.0, "host", "reading the host", on_failure)
        self._cpu = CpuMeter()
        self._disk = DiskProbe(runs)
        self._on_host = on_host
        self._reported: Host | None = None

    def tick(self) -> None:
        host = read_host(self._cpu, self._disk)
        shown = replace(
            host,
            load=None if host.load is None else round(host.load, 1),
            memory_used=host.memory_used >> 26,
            shm_used=None if host.shm_used is None else host.shm_used >> 26,
            disk_free=None if host.disk_free is None else host.disk_free >> 26,
        )
        if shown != self._reported and not self.stopping:
            self._reported = shown
            self._on_host(host)


def read_host(cpu: CpuMeter, disk: DiskProbe) -> Host:
    """Read the host now. A slow disk delays it at most as long as DiskProbe waits."""
    ours = os.sched_getaffinity(0)
    runs, shm = disk.read(), room(SHM)
    load = None
    with contextlib.suppress(OSError):
        load = os.getloadavg()[0]
    memory, limited = _memory()
    return Host(
        cores=len(ours),
        all_cores=max(os.cpu_count() or 1, len(ours)),
        cpu=cpu.usage(ours),
        load=load,
        memory_used=memory.used,
        memory_total=memory.total,
        memory_limited=limited,
        shm_used=None if shm.free is None or shm.total is None else shm.total - shm.free,
        shm_total=shm.total,
        disk_free=runs.free,
        disk_total=runs.total,
        disk_problem=runs.problem,
    )


class CpuMeter:
    """Measures the CPU usage between two calls from the same thread."""

    def __init__(self) -> None:
        self._begun = False

    def usage(self, cores: set[int]) -> int | None:
        """Mean usage of these cores since the previous call, in %; None in the first call or after an error."""
        import psutil

        try:
            percents = psutil.cpu_percent(percpu=True)
        except OSError:
            return None
        ours = [percents[core] for core in cores if core < len(percents)] or percents
        begun, self._begun = self._begun, True
        return round(sum(ours) / len(ours)) if begun and ours else None


def _memory() -> tuple[Memory, bool]:
    """Return the memory of the machine or of our cgroup limit, whichever has less left, and whether it is the limit."""
    import psutil

    all_memory = psutil.virtual_memory()
    machine = Memory(all_memory.total - all_memory.available, all_memory.total)
    limit = None
    with contextlib.suppress(OSError):
        limit = limited_memory(Path("/proc/self/cgroup").read_text())
    if limit is not None and limit.total < machine.total and limit.left < machine.left:
        return limit, True
    return machine, False
