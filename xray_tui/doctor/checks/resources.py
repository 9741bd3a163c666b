"""What a training can run out of: disk, quota, shared memory, and the kernel's limits for a process."""

from __future__ import annotations

import os
import resource
import shutil

from engine.contract.text import clean
from engine.contract.units import GIB, size
from xray_tui.doctor.findings import Context, Finding, bad, ok, unknown, warn
from xray_tui.jobs.preflight.disk_space import Quota, ask_quota, parse_quota
from xray_tui.system.disk_probe import room
from xray_tui.system.mounts import read_mountinfo, source_of

LITTLE, TOO_LITTLE = 20 * GIB, 2 * GIB
"""Bytes: below the first only a few trainings with their checkpoints fit, below the second not even one."""
SHM, SHM_TOO_LITTLE = GIB, 128 << 20
"""Bytes for a warning and for a failure; with Docker's default of 64 MiB, loader workers end with a bus error."""
QUOTA_TIMEOUT = 10.0  # seconds
FILES = 1024
"""Open files that a training needs: loader workers pass each batch through several file descriptors."""
FILE_SIZE = 4 << 30
"""Bytes; a checkpoint may be this large."""


def disk(context: Context) -> list[Finding]:
    """Free space on the disk of the runs folder."""
    try:
        status = os.statvfs(context.runs)
    except OSError as error:
        return [unknown("disk", clean(error.strerror or str(error)))]
    free, total = status.f_bavail * status.f_frsize, status.f_blocks * status.f_frsize
    return [judge_disk(free, total, status.f_favail if status.f_files else None)]


def judge_disk(free: int, total: int, files: int | None) -> Finding:
    """`free` and `total` are in bytes; `files` is the number of free inodes, None if there is no limit."""
    shown = f"{size(free)} free of {size(total)}"
    remedy = "delete checkpoints/last.pt of ended runs and old predictions folders"
    if files == 0:
        return bad("disk", f"{shown}, but no free inode for a new file", "delete folders of many small files")
    if free < TOO_LITTLE:
        return bad("disk", f"{shown}: too little for a training's checkpoints", remedy)
    return warn("disk", shown, remedy) if free < LITTLE else ok("disk", shown)


def quota(context: Context) -> list[Finding]:
    """The user's quota on the file system of the runs folder, from the command `quota`."""
    if shutil.which("quota") is None:
        return [
            unknown("quota", "there is no `quota` command here", "the file server's own page or command may show it")
        ]
    if (output := ask_quota(QUOTA_TIMEOUT)) is None:
        return [unknown("quota", "`quota -w -p -v` gave no answer")]
    source = source_of(context.runs, read_mountinfo())
    return [judge_quota(parse_quota(output, source), source)]


def judge_quota(limits: Quota | None, source: str) -> Finding:
    """`limits` is the quota on the file system mounted from `source`; None if the command does not list it."""
    if limits is None:
        return unknown("quota", f"`quota` does not list {clean(source) or 'this file system'}")
    if limits.limit is None and limits.most_files is None:
        return ok("quota", f"no quota for you on {clean(source)}")
    of = "" if limits.limit is None else f" of {size(limits.limit)}"
    files = "" if limits.most_files is None else f", {limits.files:,} of {limits.most_files:,} files"
    shown = f"{size(limits.used)} used{of} on {clean(source)}{files}"
    remedy = "delete checkpoints/last.pt of ended runs and old predictions folders, or ask for more"
    left = LITTLE if limits.left is None else limits.left
    if left < TOO_LITTLE or (limits.most_files is not None and limits.files >= limits.most_files):
        return bad("quota", f"{shown}: too little for a training's checkpoints", remedy)
    return warn("quota", shown, remedy) if left < LITTLE else ok("quota", shown)


def shared_memory(context: Context) -> list[Finding]:
    """The size of /dev/shm, through which loader workers pass batches."""
    folder = context.root / "dev/shm"
    space = room(folder)
    if space.free is None or space.total is None:
        reason = f"{folder}: {clean(space.problem or '')}; loader workers need it"
        return [bad("shared memory", reason, "mount a tmpfs there, or train with data.workers=0")]
    return [judge_shared_memory(space.free, space.total)]


def judge_shared_memory(free: int, total: int) -> Finding:
    """`free` and `total` are in bytes."""
    name, shown = "shared memory", f"{size(free)} free of {size(total)}"
    remedy = "start the container with --shm-size=16g or --ipc=host, or train with data.workers=0"
    if free < SHM_TOO_LITTLE:
        return bad(name, f"{shown}: loader workers would end with a bus error", remedy)
    return warn(name, f"{shown}: may be too little for loader workers", remedy) if free < SHM else ok(name, shown)


def limits(context: Context) -> list[Finding]:
    """The limits of this process, which a job inherits."""
    return judge_limits(
        resource.getrlimit(resource.RLIMIT_NOFILE),
        resource.getrlimit(resource.RLIMIT_CPU)[0],
        resource.getrlimit(resource.RLIMIT_FSIZE)[0],
    )


def judge_limits(files: tuple[int, int], cpu: int, size: int) -> list[Finding]:
    """`files`: soft and hard limit of open files; `cpu` in seconds; `size` in bytes; RLIM_INFINITY means no limit."""
    soft, hard = ("unlimited" if value == resource.RLIM_INFINITY else str(value) for value in files)
    few = files[0] != resource.RLIM_INFINITY and files[0] < FILES
    findings = [
        warn("open files", f"{soft}, at most {hard}: few for loader workers", f"ulimit -n {hard}, in ~/.profile")
        if few
        else ok("open files", f"{soft}, at most {hard}")
    ]
    if cpu != resource.RLIM_INFINITY:
        limited = f"the kernel kills a process, also a training, after {cpu:,} s of CPU time"
        findings.append(warn("CPU time", limited, "ulimit -t unlimited; if that is refused, ask the administrator"))
    if size != resource.RLIM_INFINITY and size < FILE_SIZE:
        limited = f"no file may be larger than {size >> 20:,} MiB; a checkpoint may be"
        findings.append(warn("file size", limited, "ulimit -f unlimited; if that is refused, ask the administrator"))
    return findings
