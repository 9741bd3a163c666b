"""Where this process belongs, and whether a job that it launches outlives the end of that: a look at a few files.

A job leaves its starter's session and process group, which is enough against a hang-up. It stays in its control group,
and that is what logind, Slurm or a container take away as a whole.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from engine.contract.text import clean
from xray_tui.system.container import is_container
from xray_tui.system.logind import Kills, lingers, read_kills
from xray_tui.system.process import user, user_name


class Place(StrEnum):
    """What the process belongs to."""

    SESSION = "session"
    """A login session: SSH, a console, a desktop, and all that was started from there, tmux and screen too."""
    MANAGER = "user manager"
    """The user's own systemd: services of theirs, and what `systemd-run --user` starts."""
    SERVICE = "service"
    """A service of the system: a notebook server, cron."""
    SLURM = "Slurm job"
    CONTAINER = "container"
    NONE = "none"
    """Nothing that ends as a whole before the machine does."""


_PLACES = (
    (Place.SLURM, re.compile(r"/slurm.*/job_(\w+)")),
    (Place.MANAGER, re.compile(r"/(user@\d+\.service)(?:/|$)")),
    (Place.SESSION, re.compile(r"/user-\d+\.slice/(session-[^/]+\.scope)")),
    (Place.SERVICE, re.compile(r"/system\.slice/(?:.*/)?([^/]+\.(?:service|scope))")),
)
_UID = re.compile(r"/user(?:-|@)(\d+)\.(?:slice|service)")


@dataclass(frozen=True, slots=True)
class Session:
    """Where a job that is launched now would belong, and what is known of the end of that."""

    place: Place = Place.NONE
    name: str = ""
    """The session's scope, the service, the Slurm job's number."""
    user: str = ""
    """Whose session it is: after `su` another's than the process's."""
    kills: Kills = Kills()  # noqa: RUF009 - frozen
    lingers: bool | None = None
    """Whether that user's services outlive their sessions; None where there is no systemd."""
    is_first: bool = False
    """Whether the shell that all this was started from is the first process of its machine or container."""


def this_session(root: Path = Path("/")) -> Session:
    """Where this process belongs. A few files are read, in about a millisecond; never raises."""
    systemd = (root / "run/systemd/system").is_dir()
    try:
        groups = (root / "proc/self/cgroup").read_text("utf-8", "replace")
    except OSError:
        groups = ""
    place, name = _place(groups)
    if is_container(root) and not systemd:  # what it shows of control groups is its host's
        place, name = Place.CONTAINER, ""
    uid = _UID.search(groups) if place in (Place.SESSION, Place.MANAGER) else None
    whose = user_name(int(uid[1])) if uid else user()
    return Session(
        place,
        name,
        whose,
        read_kills(root) if systemd else Kills(False),
        lingers(whose, root) if systemd else None,
        os.getsid(0) == 1,
    )


@dataclass(frozen=True, slots=True)
class Ending:
    """Why a job that is launched from here would not survive the end of the session, and what to do about it."""

    reason: str
    remedy: str


def why_it_would_end(session: Session) -> str | None:
    """One sentence for who is about to launch a job that would not survive the end of the session; None where it
    does, and where nothing says that it does not."""
    ending = judge_ending(session)
    return None if ending is None else f"{ending.reason}: {ending.remedy}"


def judge_ending(session: Session) -> Ending | None:
    """Why and what to do; None where a job survives, and where nothing says that it does not."""
    if session.is_first:
        return Ending("this shell is the container's first process, at whose end every job ends", "`docker run -d` it")
    if session.place is Place.SLURM:
        return Ending(f"this is inside Slurm job {session.name}, and every job ends with that", "launch from outside")
    if session.place is Place.SESSION and session.kills.of(session.user):
        enable = "" if session.lingers else f"`loginctl enable-linger {session.user}` once, then "
        return Ending(
            "logind ends a session's processes with it (KillUserProcesses=yes)",
            f"{enable}start with `systemd-run --user --scope xray-tui`",
        )
    if session.place is Place.MANAGER and session.lingers is False:
        return Ending(
            f"jobs would belong to {session.name}, which ends with your last session",
            f"`loginctl enable-linger {session.user}`",
        )
    return None


def _place(groups: str) -> tuple[Place, str]:
    """What the lines of /proc/PID/cgroup say. A Slurm job lies in a service, so it is looked for first."""
    for line in groups.splitlines():
        path = line.split(":", 2)[-1]
        for place, pattern in _PLACES:
            if (match := pattern.search(path)) is not None:
                return place, clean(match[1])
    return Place.NONE, ""
