"""What this process belongs to (login session, service, Slurm job, container), and whether a job survives its end.

A job leaves the session and process group of its launcher, so that it survives a hang-up. It stays in the launcher's
control group, whose processes logind, Slurm or a container runtime may kill all together.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from engine.contract.text import clean
from xray_tui.system.cgroups import is_container
from xray_tui.system.logind import Kills, lingers, read_kills
from xray_tui.system.process import user, user_name


class Place(StrEnum):
    """What a process belongs to."""

    SESSION = "session"
    """A login session (SSH, console, desktop), with everything started from it, including tmux and screen."""
    MANAGER = "user manager"
    """The user's own systemd: user services and `systemd-run --user`."""
    SERVICE = "service"
    """A system service, such as a notebook server or cron."""
    SLURM = "Slurm job"
    CONTAINER = "container"
    NONE = "none"
    """No group that is killed as a whole."""


_PLACES = (
    (Place.SLURM, re.compile(r"/slurm.*/job_(\w+)")),
    (Place.MANAGER, re.compile(r"/(user@\d+\.service)(?:/|$)")),
    (Place.SESSION, re.compile(r"/user-\d+\.slice/(session-[^/]+\.scope)")),
    (Place.SERVICE, re.compile(r"/system\.slice/(?:.*/)?([^/]+\.(?:service|scope))")),
)
_UID = re.compile(r"/user(?:-|@)(\d+)\.(?:slice|service)")


@dataclass(frozen=True, slots=True)
class Session:
    """What a job launched now would belong to, and what decides whether the job survives the end of that."""

    place: Place = Place.NONE
    name: str = ""
    """Name of the session scope or service, or number of the Slurm job."""
    user: str = ""
    """Owner of the session; after `su` this is not the owner of the process."""
    kills: Kills = Kills()  # noqa: RUF009 - frozen
    lingers: bool | None = None
    """Whether the user's services outlive their sessions; None without systemd."""
    is_first: bool = False
    """Whether the session leader is process 1 of the machine or container."""


def this_session(root: Path = Path("/")) -> Session:
    """What this process belongs to. Reads a few files in about a millisecond; never raises."""
    systemd = (root / "run/systemd/system").is_dir()
    try:
        groups = (root / "proc/self/cgroup").read_text("utf-8", "replace")
    except OSError:
        groups = ""
    place, name = _place(groups)
    if is_container(root) and not systemd:  # its control groups are those of the host
        place, name = Place.CONTAINER, ""
    uid = _UID.search(groups) if place in (Place.SESSION, Place.MANAGER) else None
    owner = user_name(int(uid[1])) if uid else user()
    return Session(
        place,
        name,
        owner,
        read_kills(root) if systemd else Kills(False),
        lingers(owner, root) if systemd else None,
        os.getsid(0) == 1,
    )


def why_it_would_end(session: Session) -> str | None:
    """A warning, as a sentence, if a job would not survive the end of the session; None if it would or if unknown."""
    ending = judge_ending(session)
    return None if ending is None else ": ".join(ending)


def judge_ending(session: Session) -> tuple[str, str] | None:
    """(why a job launched from this session would not survive its end, what to do about it); None if the job survives
    or its fate is unknown."""
    if session.is_first:
        return "this shell is the container's first process, and jobs end with it", "use `docker run -d`"
    if session.place is Place.SLURM:
        return f"this shell is in Slurm job {session.name}, and jobs end with it", "launch from outside"
    enable = f"`loginctl enable-linger {session.user}`"
    if session.place is Place.SESSION and session.kills.of(session.user):
        start = "start with `systemd-run --user --scope xray-tui`"
        remedy = start if session.lingers else f"{enable} once, then {start}"
        return "logind kills jobs at logout (KillUserProcesses=yes)", remedy
    if session.place is Place.MANAGER and session.lingers is False:
        return f"jobs belong to {session.name}, which ends with your last session", enable
    return None


def _place(groups: str) -> tuple[Place, str]:
    """(place, name) from the lines of /proc/PID/cgroup. A Slurm job runs inside a service, so Slurm is tried first."""
    for line in groups.splitlines():
        path = line.split(":", 2)[-1]
        for place, pattern in _PLACES:
            if (match := pattern.search(path)) is not None:
                return place, clean(match[1])
    return Place.NONE, ""
