"""What this server does to a job when the session ends in which it was launched."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace

from engine.contract.text import clean
from xray_tui.doctor.context import Patient, ask
from xray_tui.doctor.report import Finding, bad, ok, unknown, warn
from xray_tui.system.login_session import Place, Session, judge_ending, this_session

NAME = "session"
PATIENCE = 5.0
_ASKED = (
    "busctl", "--system", "get-property",
    "org.freedesktop.login1", "/org/freedesktop/login1", "org.freedesktop.login1.Manager", "KillUserProcesses",
)  # fmt: skip
_ANSWERS = {"b true": True, "b false": False}


def ending(patient: Patient) -> list[Finding]:
    """Whether a job that is launched from here survives the end of the session; then lingering."""
    session = this_session(patient.root)
    if session.place is Place.SESSION:
        answer = _ANSWERS.get((ask(_ASKED, PATIENCE) or "").strip())
        if answer is not None:  # what logind does now; its files may have been changed since it read them
            session = replace(session, kills=replace(session.kills, all_users=answer, source="logind"))
    return [what_happens(session, os.environ), *judge_lingering(session)]


def what_happens(session: Session, environ: Mapping[str, str]) -> Finding:
    """What becomes of a job when the session ends."""
    if (why := judge_ending(session)) is not None:
        return bad(NAME, why.reason, why.remedy)
    if session.place is Place.SESSION:
        kills = session.kills
        if kills.of(session.user) is None:
            return unknown(NAME, f"no file of logind's says whether {session.name} takes its processes with it",
                           "`loginctl show-session -p KillUserProcesses`; or ask the administrator")  # fmt: skip
        spared = f"spares {session.user}" if kills.all_users else "KillUserProcesses=no"
        return ok(NAME, f"jobs go on: {spared} ({kills.source or 'by default'})")
    if session.place is Place.MANAGER:
        return ok(NAME, f"jobs go on in {session.name}, which lingers")
    if session.place is Place.SERVICE:
        return warn(NAME, f"jobs would belong to {session.name}, and end where a stop or restart of it kills all of it",
                    f"`systemctl show -p KillMode {session.name}` says process where it does not")  # fmt: skip
    if session.place is Place.CONTAINER:
        return warn(NAME, "jobs go on as long as the container does; what ends that cannot be seen from inside",
                    "start it detached (docker run -d), not from a shell that ends")  # fmt: skip
    if (number := environ.get("SLURM_JOB_ID")) is not None:
        return unknown(NAME, f"$SLURM_JOB_ID is {clean(number)[:20]}, but no control group of Slurm's holds this shell",
                       "launch from a shell outside of Slurm")  # fmt: skip
    return ok(NAME, "jobs go on: nothing here ends with the session but what hangs on its terminal")


def judge_lingering(session: Session) -> list[Finding]:
    """Whether the user's services outlive their sessions; that a job needs it is said above."""
    if session.lingers is None:
        return [ok("lingering", "there is no systemd here, and no need for it")]
    if session.lingers:
        return [ok("lingering", f"on for {session.user}")]
    return [ok("lingering", f"off for {session.user}: `systemd-run --user` would end with the last session",
               f"`loginctl enable-linger {session.user}`, if you use that")]  # fmt: skip
