"""`xray-tui hold | release | move | resume | revive`: commands that change jobs in the queue."""

from __future__ import annotations

import argparse
import sys
from functools import partial
from typing import Any

from engine.contract.errors import BadInput, Exit
from xray_tui.cli.common import for_each_job, open_store


def add_options(parser: argparse.ArgumentParser, command: str) -> None:
    if command != "revive":
        parser.add_argument("ids", nargs=1 if command == "move" else "+", metavar="ID")
    if command == "move":
        parser.add_argument(
            "where", metavar="up|down|PRIORITY", help="past your previous or next job, or 0 (first) to 99 (last)"
        )
    parser.set_defaults(
        func={"hold": _hold, "release": _release, "move": _move, "resume": _resume, "revive": _revive}[command]
    )


def _hold(options: argparse.Namespace) -> int:
    from xray_tui.jobs.actions.queue_actions import hold

    return for_each_job(options, hold, lambda job, runs: "held")


def _release(options: argparse.Namespace) -> int:
    from xray_tui.jobs.actions.queue_actions import release

    return for_each_job(options, release, lambda job, runs: "released")


def _move(options: argparse.Namespace) -> int:
    from xray_tui.jobs.actions.queue_actions import move, prioritise

    where = options.where
    if where.isdecimal():
        return for_each_job(
            options, partial(prioritise, priority=int(where)), lambda job, runs: f"has priority {where}"
        )
    if where not in ("up", "down"):
        raise BadInput(f"move: {where}: expected up, down or a priority from 0 to 99")
    return for_each_job(options, partial(move, steps=-1 if where == "up" else 1), lambda job, runs: f"moved {where}")


def _resume(options: argparse.Namespace) -> int:
    from xray_tui.jobs.actions.resume import resume, start_of

    order = partial(resume, **_resume_settings(options))
    return for_each_job(options, order, lambda job, runs: f"queued again; {start_of(job, runs)}")


def _revive(options: argparse.Namespace) -> int:
    from xray_tui.jobs.actions.resume import revive, start_of

    store = open_store(options)
    revived = revive(store, **_resume_settings(options))
    for job, problem in revived:
        start = f"; {start_of(job, store.runs)}" if job.spec.resumes else ""
        print(problem or f"{job.id}: {job.spec.kind} {job.spec.run} is queued again{start}")
    if not revived:
        print("nothing to revive", file=sys.stderr)
    return Exit.DONE


def _resume_settings(options: argparse.Namespace) -> dict[str, Any]:
    """The settings that a resumed job needs. Prints the environment variables that it does not get."""
    from xray_tui.jobs.storage.saved_environment import Filter
    from xray_tui.settings import settings_for

    settings = settings_for(options)
    environment = Filter.of(settings)
    if (note := environment.note()) is not None:
        print(f"xray-tui: {note}", file=sys.stderr)
    return {"lease_dir": settings.lease_dir, "environment": environment}
