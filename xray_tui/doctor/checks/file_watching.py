"""Whether the board can watch its folders by inotify, and how close their number is to the limits of the kernel."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from engine.contract.text import clean
from xray_tui.board.walk import walk
from xray_tui.board.watch import ENVIRONMENT
from xray_tui.board.watch_sources import Inotify
from xray_tui.doctor.findings import Context, Finding, bad, ok, unknown, warn
from xray_tui.system.mounts import file_system_of, is_shared, read_mountinfo

NAME = "watching"
LIMITS = "proc/sys/fs/inotify"
WATCHES, INSTANCES = "max_user_watches", "max_user_instances"
_SLOW = "the board polls the folder instead: changes show later and cost more"


def watching(context: Context) -> list[Finding]:
    """Try inotify on the runs folder as the app uses it."""
    if not context.runs.is_dir():
        return [unknown(NAME, f"{clean(str(context.runs))} is not a folder", "give the runs folder with --runs DIR")]
    if os.environ.get(ENVIRONMENT, "").strip().lower() == "poll":
        return [warn(NAME, f"${ENVIRONMENT} is poll: {_SLOW}", f"unset {ENVIRONMENT}")]
    if is_shared(kind := file_system_of(context.runs, read_mountinfo())):
        return [warn(NAME, f"{clean(kind)} does not report what other machines write: {_SLOW}",
                     "`r` in the app reads the folder at once")]  # fmt: skip
    folders = sum(1 for _ in walk(context.runs))
    try:
        Inotify(context.runs, lambda _: False).close()
    except OSError as error:
        return [judge_refusal(error, folders, limit(context.root, WATCHES), limit(context.root, INSTANCES))]
    return [judge_limits(folders, limit(context.root, WATCHES), limit(context.root, INSTANCES))]


def limit(root: Path, name: str) -> int | None:
    """A per-user limit of inotify; None if it cannot be read."""
    try:
        return int((root / LIMITS / name).read_text())
    except (OSError, ValueError):
        return None


def judge_limits(folders: int, watches: int | None, instances: int | None) -> Finding:
    """The finding if inotify works: whether the limits are high enough for two apps."""
    count = f"{folders:,} folder{'' if folders == 1 else 's'} to watch"
    if watches is None:
        return unknown(NAME, f"{count}, inotify works, but its limits cannot be read")
    allowed = f"of {watches:,} that a user's programs may watch together (instances: {instances or '?'})"
    if 2 * folders > watches:
        return warn(NAME, f"{count}, {allowed}: two apps reach the limit", raise_limit(WATCHES, 8 * folders))
    return ok(NAME, f"inotify, {count} {allowed}")


def judge_refusal(error: OSError, folders: int, watches: int | None, instances: int | None) -> Finding:
    """The finding if inotify fails; it depends on the limit that was reached."""
    if error.errno == errno.EMFILE and instances is not None:
        refused = f"all {instances} inotify instances of this user are taken: {_SLOW}"
        return bad(NAME, refused, raise_limit(INSTANCES, max(512, 4 * instances)))
    if error.errno == errno.ENOSPC and watches is not None:
        refused = f"{folders:,} folders, and the {watches:,} inotify watches of this user are used up: {_SLOW}"
        return bad(NAME, refused, raise_limit(WATCHES, max(524_288, 4 * folders)))
    return warn(NAME, f"inotify cannot be used ({clean(error.strerror or str(error))}): {_SLOW}",
                "`r` in the app reads the folder at once")  # fmt: skip


def raise_limit(name: str, value: int) -> str:
    return f"sudo sysctl fs.inotify.{name}={value}; add the line to a file in /etc/sysctl.d to keep it after a restart"
