"""What happens to a job when the login session that launched it ends."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace

from engine.contract.text import clean
from xray_tui.doctor.findings import Context, Finding, ask, bad, ok, unknown, warn
from xray_tui.system.login_session import Place, Session, judge_ending, this_session

NAME = "session"
TIMEOUT = 5.0  # seconds
_COMMAND = (
    "busctl", "--system", "get-property",
    "org.freedesktop.login1", "/org/freedesktop/login1", "org.freedesktop.login1.Manager", "KillUserProcesses",
)  # fmt: skip
_ANSWERS = {"b true": True, "b false": False}


def ending(context: Context) -> list[Finding]:
    """Whether a job launched from this shell survives the end of the session."""
    session = this_session(context.root)
    if session.place is Place.SESSION:
        answer = _ANSWERS.get((ask(_COMMAND, TIMEOUT) or "").strip())
        if answer is not None:  # logind's files may have changed after it read them
            session = replace(session, kills=replace(session.kills, all_users=answer, source="logind"))
    return [what_happens(session, os.environ)]


def what_happens(session: Session, environ: Mapping[str, str]) -> Finding:
    """What happens to a job when the session ends."""
    if (problem := judge_ending(session)) is not None:
        return bad(NAME, *problem)
    if session.place is Place.SESSION:
        kills = session.kills
        if kills.of(session.user) is None:
            return unknown(NAME, f"no file of logind says whether the processes of {session.name} are killed with it",
                           "`loginctl show-session -p KillUserProcesses`; or ask the administrator")  # fmt: skip
        reason = f"logind spares {session.user}" if kills.all_users else "KillUserProcesses=no"
        return ok(NAME, f"jobs continue after logout: {reason} ({kills.source or 'by default'})")
    if session.place is Place.MANAGER:
        return ok(NAME, f"jobs continue after logout in {session.name}, which lingers")
    if session.place is Place.SERVICE:
        return warn(NAME, f"jobs belong to {session.name}; stopping or restarting it may kill them",
                    f"they survive if `systemctl show -p KillMode {session.name}` shows process")  # fmt: skip
    if session.place is Place.CONTAINER:
        return warn(NAME, "jobs end with the container; its lifetime is not visible from inside",
                    "start it detached (docker run -d), not from a shell that ends")  # fmt: skip
    if (number := environ.get("SLURM_JOB_ID")) is not None:
        return unknown(NAME, f"$SLURM_JOB_ID is {clean(number)[:20]}, but this shell is in no control group of Slurm",
                       "launch from a shell outside of Slurm")  # fmt: skip
    return ok(NAME, "jobs continue after logout: only processes attached to the terminal end with the session")
