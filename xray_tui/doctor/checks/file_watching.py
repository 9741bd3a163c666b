"""Whether the board hears of changes at once: inotify and its limits against the folders that there are to watch."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from engine.contract.text import clean
from xray_tui.board.inotify import Inotify
from xray_tui.board.walk import walk
from xray_tui.board.watch import ENVIRONMENT
from xray_tui.doctor.context import Patient
from xray_tui.doctor.report import Finding, bad, ok, unknown, warn
from xray_tui.system.mounts import file_system_of, is_shared, read_mountinfo

NAME = "watching"
LIMITS = "proc/sys/fs/inotify"
WATCHES, INSTANCES = "max_user_watches", "max_user_instances"
_SLOW = "the board polls the folder instead: changes show later and cost more"


def watching(patient: Patient) -> list[Finding]:
    """Inotify is tried on the runs folder, as the app would use it."""
    if not patient.runs.is_dir():
        return [unknown(NAME, f"{clean(str(patient.runs))} is no folder", "give the runs folder with --runs DIR")]
    if os.environ.get(ENVIRONMENT, "").strip().lower() == "poll":
        return [warn(NAME, f"${ENVIRONMENT} is poll: {_SLOW}", f"unset {ENVIRONMENT}")]
    if is_shared(kind := file_system_of(patient.runs, read_mountinfo())):
        return [warn(NAME, f"{clean(kind)} does not report what other machines write: {_SLOW}",
                     "`r` in the app reads the folder at once")]  # fmt: skip
    folders = sum(1 for _ in walk(patient.runs))
    try:
        Inotify(patient.runs, lambda _: False).close()
    except OSError as error:
        return [judge_refusal(error, folders, limit(patient.root, WATCHES), limit(patient.root, INSTANCES))]
    return [judge_limits(folders, limit(patient.root, WATCHES), limit(patient.root, INSTANCES))]


def limit(root: Path, name: str) -> int | None:
    """A limit of inotify's for each user; None where the kernel does not tell."""
    try:
        return int((root / LIMITS / name).read_text())
    except (OSError, ValueError):
        return None


def judge_limits(folders: int, watches: int | None, instances: int | None) -> Finding:
    """Inotify works; whether there is room for more folders."""
    many = f"{folders:,} folder{'' if folders == 1 else 's'} to watch"
    if watches is None:
        return unknown(NAME, f"{many}, inotify works, but its limits cannot be read")
    allowed = f"of {watches:,} that a user's programs may watch together (instances: {instances or '?'})"
    if 2 * folders > watches:
        return warn(NAME, f"{many}, {allowed}: two apps reach the limit", raise_limit(WATCHES, 8 * folders))
    return ok(NAME, f"inotify, {many} {allowed}")


def judge_refusal(error: OSError, folders: int, watches: int | None, instances: int | None) -> Finding:
    """The kernel refused: its limit of watches, of instances, or none of these."""
    if error.errno == errno.EMFILE and instances is not None:
        refused = f"all {instances} inotify instances of this user are taken: {_SLOW}"
        return bad(NAME, refused, raise_limit(INSTANCES, max(512, 4 * instances)))
    if error.errno == errno.ENOSPC and watches is not None:
        refused = f"{folders:,} folders, and the {watches:,} inotify watches of this user are used up: {_SLOW}"
        return bad(NAME, refused, raise_limit(WATCHES, max(524_288, 4 * folders)))
    return warn(NAME, f"inotify cannot be used ({clean(error.strerror or str(error))}): {_SLOW}",
                "`r` in the app reads the folder at once")  # fmt: skip


def raise_limit(name: str, value: int) -> str:
    return f"sudo sysctl fs.inotify.{name}={value}, and the same line in /etc/sysctl.d to keep it"
