"""Which GPUs are free, as the queue sees them, for those who only look."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from xray_tui.gpu.in_use import Looks
from xray_tui.gpu.snapshot import GpuSnapshot
from xray_tui.jobs.locks import file_lock
from xray_tui.jobs.locks.lock_dir import LeaseDir
from xray_tui.jobs.queue.allocation import obstacle

OLD = "not known now"
"""A waiting job takes no GPU of which nothing new is known."""


def standings(snapshot: GpuSnapshot, leased: Collection[str], looks: Looks | None = None) -> dict[str, str | None]:
    """Why each GPU, by its UUID, would not be given to a job now, in a few words; None where it is free.

    By the rule that allots them (`allot.obstacle`); without the `looks` of the last samples this one alone is judged. A
    GPU that never told its UUID is not in it: no job can have it.
    """
    otherwise = OLD if snapshot.problem or snapshot.stale else None
    found = {
        gpu.uuid: obstacle(gpu, leased, looks=(looks or {}).get(gpu.uuid, ())) for gpu in snapshot.gpus if gpu.uuid
    }
    return {uuid: otherwise if wait is None else wait.reason for uuid, wait in found.items()}


def leased(uuids: Iterable[str], lease_dir: LeaseDir | None, slots: int = 1) -> frozenset[str]:
    """Those of the GPUs that a job holds now, whosever it is. None for the folder: no job was ever there. For who lets
    `slots` jobs share a GPU, one with a slot left is not held.

    It asks each lock itself, which keeps no job from taking it (see lease.try_lock). /proc/locks could be read without
    a touch, but cannot be relied on: within a container it leaves out the locks of all processes outside, and those
    whose taker has died while the engine holds on to them; and on btrfs its device numbers are not those of stat.
    """
    return frozenset(uuid for uuid in uuids if uuid and lease_dir is not None and _is_held(lease_dir, uuid, slots))


def _is_held(lease_dir: LeaseDir, uuid: str, slots: int) -> bool:
    try:
        return file_lock.is_held(lease_dir.gpu(uuid)) or sum(map(file_lock.is_held, lease_dir.slots(uuid))) >= slots
    except OSError:
        return True  # nobody can take it either
