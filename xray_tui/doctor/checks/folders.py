"""The file systems and permissions of the runs folder and the lease folder, and the queue's mutex."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path

from engine.contract.names import JOBS
from engine.contract.text import clean
from xray_tui.doctor.findings import Context, Finding, bad, ok, unknown, warn
from xray_tui.jobs.locks.file_lock import Busy
from xray_tui.jobs.locks.lock_dir import LOCK_DIR_ENV, PARTS, PRIVATE_NOTE, SHARED, LockDir, existing_lock_dir
from xray_tui.system.cgroups import is_container
from xray_tui.system.mounts import file_system_of, is_shared, read_mountinfo
from xray_tui.system.process import user_name

WITHOUT_OWNERS = frozenset({"vfat", "exfat", "msdos", "ntfs", "ntfs3", "fuseblk"})
"""File systems without file owners, on which any user could have written a job's folder."""
PASSING = frozenset({"tmpfs", "ramfs"})
"""File systems that are empty after a restart."""
MUTEX_LONG = 2.0
"""Seconds after which a held mutex is reported; jobs hold it for a few milliseconds."""
REMEDY = "set lease_dir in the settings of all users to one folder on a local disk"


def runs_place(context: Context) -> list[Finding]:
    """The runs folder: existence, permissions, and the type of its file system."""
    runs = context.runs
    if not runs.is_dir():
        return [bad("runs", f"{clean(str(runs))}: no such folder", "give the runs folder with --runs DIR")]
    kind = file_system_of(runs, read_mountinfo())
    findings = [judge_runs(str(runs), kind, is_container(context.root))]
    if not os.access(runs, os.W_OK | os.X_OK):
        closed = "not writable by you: you cannot launch jobs there"
        findings.append(warn("runs", closed, "ask its owner to open it to your group, or give a folder of your own"))
    elif (problem := judge_jobs(runs / JOBS)) is not None:
        findings.append(problem)
    return findings


def judge_jobs(jobs: Path) -> Finding | None:
    """A problem with the permissions of the jobs' folder in a shared runs folder; None if there is no problem."""
    try:
        status = jobs.stat()
    except OSError:
        return None
    mode, owner = stat.S_IMODE(status.st_mode), user_name(status.st_uid)
    shown, done_by = f"{clean(str(jobs))} (mode {mode:04o})", f"{clean(str(jobs))}`, which {owner} can do"
    if not os.access(jobs, os.R_OK | os.W_OK | os.X_OK):
        return warn("runs", f"{shown} is closed to you: you cannot launch jobs there", f"`chmod g+rwx,+t {done_by}")
    if mode & (stat.S_IWGRP | stat.S_IWOTH) and not mode & stat.S_ISVTX:
        return warn("runs", f"{shown}: users with write access can replace others' jobs", f"`chmod +t {done_by}")
    return None


def judge_runs(runs: str, kind: str, in_container: bool) -> Finding:
    """Whether a file system of type `kind` is suitable for a runs folder."""
    shown = f"{clean(runs)} on {clean(kind) or 'a file system of unknown type'}"
    if kind in PASSING:
        return warn("runs", f"{shown}: lost at the next restart", "put the runs folder on a disk")
    if kind in WITHOUT_OWNERS:
        return bad("runs", f"{shown}, which has no file owners: jobs are refused", "put it on ext4, xfs or a server")
    if kind == "overlay" and in_container:
        return warn("runs", f"{shown}: lost when the container is removed", "mount a folder of the host there")
    if is_shared(kind):
        return ok("runs", f"{shown}: other machines may write there too; their jobs are shown and never changed")
    return ok("runs", shown) if kind else unknown("runs", shown)


def lease_place(context: Context) -> list[Finding]:
    """The lock folder that jobs use or would use, and its mutex. The check does not create the folder, and locks the
    mutex only briefly."""
    setting = context.settings.lease_dir
    lease_dir = existing_lock_dir(setting)
    path = lease_dir.path if lease_dir is not None else next_place(setting, os.environ)
    if path is None:
        return [warn("leases", PRIVATE_NOTE, REMEDY)]
    kind = file_system_of(_nearest(path), read_mountinfo())
    is_private = lease_dir is not None and lease_dir.is_private
    finding = judge_leases(path, kind, lease_dir is not None, is_private, is_container(context.root))
    return [finding, *([] if lease_dir is None else judge_mutex(lease_dir))]


def next_place(setting: Path | str | None, environ: Mapping[str, str]) -> Path | None:
    """The path at which the first job would create the lease folder; None for a private one."""
    if chosen := setting or environ.get(LOCK_DIR_ENV):
        return Path(chosen).expanduser().absolute()
    existing = next((path for path in SHARED if os.path.lexists(path)), None)
    return existing or next((path for path in SHARED if os.access(path.parent, os.W_OK | os.X_OK)), None)


def judge_leases(path: Path, kind: str, exists: bool, is_private: bool, in_container: bool) -> Finding:
    """Whether the lock folder's path, file system type `kind` and permissions let all users share it."""
    shown = clean(str(path))
    if is_shared(kind):
        refused = f"{shown} on {clean(kind)}: refused, because locks are not reliable on a network file system"
        return bad("leases", refused, REMEDY)
    if path.is_relative_to("/dev/shm"):  # noqa: S108
        return bad("leases", f"{shown}: refused, because it is emptied at logout", REMEDY)
    if not exists:
        if os.path.lexists(path):
            return bad("leases", f"{shown} cannot be read", f"`chmod 1777` it and its folders, or {REMEDY}")
        if not os.access(_nearest(path), os.W_OK | os.X_OK):
            return bad("leases", f"{shown} does not exist, and you cannot create it", REMEDY)
        return ok("leases", f"{shown} on {clean(kind)}: not created yet; the first job creates it for all users")
    closed = [part for part in (path, *(path / part for part in PARTS)) if not os.access(part, os.W_OK | os.X_OK)]
    if closed:
        return bad("leases", f"{clean(str(closed[0]))} is not writable by you", f"`chmod 1777` it, or {REMEDY}")
    if is_private:
        return warn("leases", f"{shown}: your own; {PRIVATE_NOTE}", REMEDY)
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
        return bad("leases", f"{shown}: any user can remove the locks of others (mode {mode:04o})",
                   f"`chmod +t {shown} {shown}/*/`, which {user_name(path.stat().st_uid)} can do")  # fmt: skip
    if not mode & stat.S_IWOTH:
        return warn("leases", f"{shown} is closed to others: the queue cannot see their jobs", f"`chmod 1777 {shown}`")
    if in_container and not (os.path.ismount(path) or os.path.ismount(path.parent)):
        return warn("leases", f"{shown} is in this container: the queue cannot see jobs outside of it",
                    f"mount the host's {shown} there")  # fmt: skip
    if path.is_relative_to("/tmp"):  # noqa: S108
        return warn("leases", f"{shown}: /tmp is emptied at a restart, and old files in it are deleted", REMEDY)
    return ok("leases", f"{shown} on {clean(kind)}, shared by all users")


def judge_mutex(lease_dir: LockDir, patience: float = MUTEX_LONG) -> list[Finding]:
    """A finding if the mutex cannot be opened, or is still locked after `patience` seconds because its holder is
    stopped (Ctrl+Z) or hangs on a disk; otherwise empty."""
    if not os.path.lexists(lease_dir.lock):
        return []
    try:
        with lease_dir.mutex(patience):
            return []
    except Busy as error:
        return [bad("queue", f"{clean(str(error))}: no job of any user can start",
                    "continue that process (`kill -CONT`), or end it, which releases the lock")]  # fmt: skip
    except OSError as error:
        return [bad("queue", clean(error.strerror or str(error)), "its owner, or root, can remove it")]


def _nearest(path: Path) -> Path:
    """The path, or the nearest folder above it that exists."""
    return next((parent for parent in (path, *path.parents) if os.path.lexists(parent)), Path("/"))
