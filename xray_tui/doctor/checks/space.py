"""Room on the runs folder's disk, the user's quota there, and shared memory for the loaders' workers."""

from __future__ import annotations

import os

from engine.contract.text import clean
from engine.contract.units import GIB, size
from xray_tui.doctor.context import Patient
from xray_tui.doctor.report import Finding, bad, ok, unknown, warn
from xray_tui.jobs.preflight.quota import Quota, ask_quota, has_command, parse_quota
from xray_tui.system.mounts import read_mountinfo, source_of

LITTLE, TOO_LITTLE = 20 * GIB, 2 * GIB
"""Room for some trainings with their checkpoints, and for none."""
SHM, SHM_TOO_LITTLE = GIB, 128 << 20
"""Docker gives 64 MiB, with which workers end in a bus error."""
QUOTA_PATIENCE = 10.0


def disk(patient: Patient) -> list[Finding]:
    """What is free on the disk of the runs folder."""
    if not patient.runs.is_dir():
        return [unknown("disk", f"{clean(str(patient.runs))} is no folder")]
    try:
        status = os.statvfs(patient.runs)
    except OSError as error:
        return [unknown("disk", clean(error.strerror or str(error)))]
    free, total = status.f_bavail * status.f_frsize, status.f_blocks * status.f_frsize
    return [judge_disk(free, total, status.f_favail if status.f_files else None)]


def judge_disk(free: int, total: int, files: int | None) -> Finding:
    """`files` is how many more there may be; None where there is no limit."""
    shown = f"{size(free)} free of {size(total)}"
    remedy = "delete checkpoints/last.pt of ended runs and old predictions folders"
    if files == 0:
        return bad("disk", f"{shown}, but no file more (no inode is free)", "delete folders of many small files")
    if free < TOO_LITTLE:
        return bad("disk", f"{shown}: too little for a training's checkpoints", remedy)
    return warn("disk", shown, remedy) if free < LITTLE else ok("disk", shown)


def quota(patient: Patient) -> list[Finding]:
    """This user's quota on the file system of the runs folder, by the command `quota`."""
    if not has_command():
        return [unknown("quota", "there is no `quota` command here", "the file server's own page or command may tell")]
    if (told := ask_quota(QUOTA_PATIENCE)) is None:
        return [unknown("quota", "`quota -w -p -v` gave no answer")]
    source = source_of(patient.runs, read_mountinfo())
    return [judge_quota(parse_quota(told, source), source)]


def judge_quota(found: Quota | None, source: str) -> Finding:
    """What a quota on the file system of that source means; None: the command says nothing of it."""
    if found is None:
        return unknown("quota", f"`quota` says nothing about {clean(source) or 'this file system'}")
    if found.limit is None and found.most_files is None:
        return ok("quota", f"none set for you on {clean(source)}")
    of = "" if found.limit is None else f" of {size(found.limit)}"
    files = "" if found.most_files is None else f", {found.files:,} of {found.most_files:,} files"
    shown = f"{size(found.used)} used{of} on {clean(source)}{files}"
    remedy = "delete checkpoints/last.pt of ended runs and old predictions folders, or ask for more"
    left = LITTLE if found.left is None else found.left
    if left < TOO_LITTLE or (found.most_files is not None and found.files >= found.most_files):
        return bad("quota", f"{shown}: too little for a training's checkpoints", remedy)
    return warn("quota", shown, remedy) if left < LITTLE else ok("quota", shown)


def shared_memory(patient: Patient) -> list[Finding]:
    """The size of /dev/shm, through which workers hand over batches."""
    folder = patient.root / "dev/shm"
    try:
        status = os.statvfs(folder)
    except OSError as error:
        reason = f"{folder}: {clean(error.strerror or str(error))}; loader workers need it"
        return [bad("shared memory", reason, "mount a tmpfs there, or train with data.workers=0")]
    return [judge_shared_memory(status.f_bavail * status.f_frsize, status.f_blocks * status.f_frsize)]


def judge_shared_memory(free: int, total: int) -> Finding:
    """What so much room in /dev/shm means for loader workers."""
    name, shown = "shared memory", f"{size(free)} free of {size(total)}"
    remedy = "start the container with --shm-size=16g or --ipc=host; else train with data.workers=0"
    if free < SHM_TOO_LITTLE:
        return bad(name, f"{shown}: loader workers would end with a bus error", remedy)
    return warn(name, f"{shown}: little for loader workers", remedy) if free < SHM else ok(name, shown)
