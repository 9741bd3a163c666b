"""The file systems that hold the runs and the leases, and with whom the lease folder is shared."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path

from engine.contract.names import JOBS
from engine.contract.text import clean
from xray_tui.doctor.context import Patient
from xray_tui.doctor.report import Finding, bad, ok, unknown, warn
from xray_tui.jobs.locks.lock_dir import LEASE_DIR_ENV, PARTS, PRIVATE_NOTE, SHARED, existing_lease_dir
from xray_tui.system.container import is_container
from xray_tui.system.mounts import file_system_of, is_shared, read_mountinfo
from xray_tui.system.process import user_name

WITHOUT_OWNERS = frozenset({"vfat", "exfat", "msdos", "ntfs", "ntfs3", "fuseblk"})
"""File systems that know no owners: what stands in a job's folder could be anybody's word."""
PASSING = frozenset({"tmpfs", "ramfs"})
REMEDY = "set lease_dir in the settings of all users to one folder on a local disk"


def runs_place(patient: Patient) -> list[Finding]:
    """The runs folder: there, writable, and on a file system that keeps what jobs need."""
    runs = patient.runs
    if not runs.is_dir():
        return [bad("runs", f"{clean(str(runs))}: no such folder", "give the runs folder with --runs DIR")]
    kind = file_system_of(runs, read_mountinfo())
    found = [judge_runs(str(runs), kind, is_container(patient.root))]
    if not os.access(runs, os.W_OK | os.X_OK):
        closed = "cannot be written to by you: no job of yours can be launched there"
        found.append(warn("runs", closed, "ask its owner to open it to your group, or give a folder of your own"))
    elif (problem := judge_jobs(runs / JOBS)) is not None:
        found.append(problem)
    return found


def judge_jobs(jobs: Path) -> Finding | None:
    """What the modes of the jobs' folder mean in a runs folder that its users share; None where all is well."""
    try:
        found = jobs.stat()
    except OSError:
        return None
    mode, owner = stat.S_IMODE(found.st_mode), user_name(found.st_uid)
    shown, done_by = f"{clean(str(jobs))} (mode {mode:04o})", f"{clean(str(jobs))}`, which {owner} can do"
    if not os.access(jobs, os.R_OK | os.W_OK | os.X_OK):
        return warn(
            "runs", f"{shown} is closed to you: no job of yours can be launched there", f"`chmod g+rwx,+t {done_by}"
        )
    if mode & (stat.S_IWGRP | stat.S_IWOTH) and not mode & stat.S_ISVTX:
        return warn("runs", f"{shown}: whoever can write there can replace others' jobs", f"`chmod +t {done_by}")
    return None


def judge_runs(runs: str, kind: str, in_container: bool) -> Finding:
    """What the type of the file system means for a runs folder."""
    shown = f"{clean(runs)} on {clean(kind) or 'a file system that is not known'}"
    if kind in PASSING:
        return warn("runs", f"{shown}: gone at the next restart", "put the runs folder on a disk")
    if kind in WITHOUT_OWNERS:
        return bad("runs", f"{shown}, which knows no owners: jobs are refused", "put it on ext4, xfs or a file server")
    if kind == "overlay" and in_container:
        return warn("runs", f"{shown}: the container's own layer, gone with it", "mount a folder of the host there")
    if is_shared(kind):
        return ok("runs", f"{shown}: other machines may write there too; their jobs are shown and never touched")
    return ok("runs", shown) if kind else unknown("runs", shown)


def lease_place(patient: Patient) -> list[Finding]:
    """The lease folder: which one it is or would be, nothing is made."""
    setting = patient.settings.lease_dir
    found = existing_lease_dir(setting)
    path = found.path if found is not None else next_place(setting, os.environ)
    if path is None:
        return [warn("leases", PRIVATE_NOTE, REMEDY)]
    kind = file_system_of(_nearest(path), read_mountinfo())
    is_private = found is not None and found.note == PRIVATE_NOTE
    return [judge_leases(path, kind, found is not None, is_private, is_container(patient.root))]


def next_place(setting: Path | str | None, environ: Mapping[str, str]) -> Path | None:
    """Where the first job would make the lease folder; None for a private one."""
    given = setting or environ.get(LEASE_DIR_ENV)
    if given:
        try:
            return Path(given).expanduser().absolute()
        except RuntimeError:
            return Path(given).absolute()
    there = next((path for path in SHARED if os.path.lexists(path)), None)
    return there or next((path for path in SHARED if os.access(path.parent, os.W_OK | os.X_OK)), None)


def judge_leases(path: Path, kind: str, exists: bool, is_private: bool, in_container: bool) -> Finding:
    """What the lease folder's place and modes mean."""
    shown = clean(str(path))
    if is_shared(kind):
        refused = f"{shown} on {clean(kind)}: a network file system is refused, its locks do not hold"
        return bad("leases", refused, REMEDY)
    if path.is_relative_to("/dev/shm"):  # noqa: S108
        return bad("leases", f"{shown} is emptied at logout, and refused", REMEDY)
    if not exists:
        if os.path.lexists(path):
            return bad("leases", f"{shown} cannot be looked into", f"`chmod 1777` it with its folders, or {REMEDY}")
        if not os.access(_nearest(path), os.W_OK | os.X_OK):
            return bad("leases", f"{shown} is not there, and cannot be made by you", REMEDY)
        return ok("leases", f"{shown} on {clean(kind)}: not made yet, the first job makes it, for all users")
    closed = [part for part in (path, *(path / part for part in PARTS)) if not os.access(part, os.W_OK | os.X_OK)]
    if closed:
        return bad("leases", f"{clean(str(closed[0]))} cannot be written to by you", f"`chmod 1777` it, or {REMEDY}")
    if is_private:
        return warn("leases", f"{shown}: your own; {PRIVATE_NOTE}", REMEDY)
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
        return bad("leases", f"{shown}: everybody can remove the locks of others (mode {mode:04o})",
                   f"`chmod +t {shown} {shown}/*/`, which {user_name(path.stat().st_uid)} can do")  # fmt: skip
    if not mode & stat.S_IWOTH:
        return warn("leases", f"{shown} is closed to others: their jobs cannot be seen", f"`chmod 1777 {shown}`")
    if in_container and not _is_mounted(path):
        return warn("leases", f"{shown} is in this container: jobs outside of it cannot be seen",
                    f"mount the host's {shown} there")  # fmt: skip
    cleaned = next((folder for folder in ("/tmp", "/var/tmp") if path.is_relative_to(folder)), None)  # noqa: S108
    if cleaned == "/tmp":  # noqa: S108
        return warn("leases", f"{shown}: /tmp is emptied at a restart and cleaned by age", REMEDY)
    aged = f"; {cleaned} may be cleaned by age, but jobs touch their files daily" if cleaned else ""
    return ok("leases", f"{shown} on {clean(kind)}, shared by all users{aged}")


def _nearest(path: Path) -> Path:
    """The path, or the first folder above it that is there."""
    return next((each for each in (path, *path.parents) if os.path.lexists(each)), Path("/"))


def _is_mounted(path: Path) -> bool:
    """Whether the folder, or the one that it lies in, is a mount of its own."""
    return os.path.ismount(path) or os.path.ismount(path.parent)
