"""Room on the runs folder's disk, the user's quota there, and shared memory for the loaders' workers."""

from __future__ import annotations

import os
import shutil

from engine.contract.text import clean
from xray_tui.board.mounts import read_mountinfo, source_of
from xray_tui.doctor.finding import Finding, bad, ok, unknown, warn
from xray_tui.doctor.patient import Patient, ask

GIB = 1 << 30
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
    shown = f"{gib(free)} free of {gib(total)}"
    remedy = "delete checkpoints/last.pt of ended runs and old predictions folders"
    if files == 0:
        return bad("disk", f"{shown}, but no file more (no inode is free)", "delete folders of many small files")
    if free < TOO_LITTLE:
        return bad("disk", f"{shown}: too little for a training's checkpoints", remedy)
    return warn("disk", shown, remedy) if free < LITTLE else ok("disk", shown)


def quota(patient: Patient) -> list[Finding]:
    """This user's quota on the file system of the runs folder, by the command `quota`."""
    if shutil.which("quota") is None:
        return [unknown("quota", "there is no `quota` command here", "the file server's own page or command may tell")]
    told = ask(["quota", "-w", "-p", "-v"], QUOTA_PATIENCE, failing=True)  # its status says that a quota is reached
    if told is None:
        return [unknown("quota", "`quota -w -p -v` gave no answer")]
    return [judge_quota(told, source_of(patient.runs, read_mountinfo()))]


def judge_quota(told: str, source: str) -> Finding:
    """What `quota -w -p -v` printed about the file system of that source: blocks of 1 KiB (used, soft and hard limit,
    the end of the grace period), and the same of files."""
    for line in told.splitlines():
        words = line.split()
        if len(words) < 9 or words[0] != source:
            continue
        try:
            used, soft, hard, _, files, soft_files, hard_files = (int(word.rstrip("*")) for word in words[1:8])
        except ValueError:
            break
        limit, limit_files = soft or hard, soft_files or hard_files
        if not limit and not limit_files:
            return ok("quota", f"none set for you on {clean(source)}")
        shown = f"{gib(used << 10)} used" + (f" of {gib(limit << 10)}" if limit else "") + f" on {clean(source)}"
        shown += f", {files:,} of {limit_files:,} files" if limit_files else ""
        remedy = "delete checkpoints/last.pt of ended runs and old predictions folders, or ask for more"
        if (limit and (limit - used) << 10 < TOO_LITTLE) or (limit_files and files >= limit_files):
            return bad("quota", f"{shown}: too little for a training's checkpoints", remedy)
        return warn("quota", shown, remedy) if limit and (limit - used) << 10 < LITTLE else ok("quota", shown)
    return unknown("quota", f"`quota` says nothing about {clean(source) or 'this file system'}")


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
    name, shown = "shared memory", f"{gib(free)} free of {gib(total)}"
    remedy = "start the container with --shm-size=16g or --ipc=host; else train with data.workers=0"
    if free < SHM_TOO_LITTLE:
        return bad(name, f"{shown}: loader workers would end with a bus error", remedy)
    return warn(name, f"{shown}: little for loader workers", remedy) if free < SHM else ok(name, shown)


def gib(size: int) -> str:
    """Bytes in GiB, or in MiB where that would be none."""
    if size < GIB:
        return f"{size >> 20} MiB"
    return f"{size / GIB:.1f} GiB" if size < 10 * GIB else f"{size / GIB:,.0f} GiB"
