"""GPU availability as the scheduler sees it (read-only)."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from xray_tui.gpu.in_use import RecentUse
from xray_tui.gpu.snapshot import GpuSnapshot
from xray_tui.jobs.locks import file_lock
from xray_tui.jobs.locks.lock_dir import LockDir
from xray_tui.jobs.queue.allocation import obstacle

OLD = "not known now"
"""Why a GPU with an outdated sample is not available."""


def standings(snapshot: GpuSnapshot, held: Collection[str], samples: RecentUse | None = None) -> dict[str, str | None]:
    """Why each GPU, by UUID, is not available to a job now, as a phrase; None if it is free.

    Without the last `samples`, only the current sample counts. A GPU without a UUID is omitted.
    """
    otherwise = OLD if snapshot.problem or snapshot.stale else None
    obstacles = {
        gpu.uuid: obstacle(gpu, held, samples=(samples or {}).get(gpu.uuid, ())) for gpu in snapshot.gpus if gpu.uuid
    }
    return {uuid: otherwise if wait is None else wait.reason for uuid, wait in obstacles.items()}


def held_gpus(uuids: Iterable[str], lock_dir: LockDir | None, slots: int = 1) -> frozenset[str]:
    """The GPUs among `uuids` that jobs of any user hold now. Without a lock folder there are none.

    With `slots` above 1, a shared GPU counts only if all its slots are taken. Each lock is probed, because /proc/locks
    is unreliable: in a container it omits the locks of outside processes; on btrfs its device numbers differ.
    """
    if lock_dir is None:
        return frozenset()
    return frozenset(uuid for uuid in uuids if uuid and _is_held(lock_dir, uuid, slots))


def _is_held(lock_dir: LockDir, uuid: str, slots: int) -> bool:
    try:
        return file_lock.is_held(lock_dir.gpu(uuid)) or sum(map(file_lock.is_held, lock_dir.slots(uuid))) >= slots
    except OSError:
        return True  # then no job can take it either
