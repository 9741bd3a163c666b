"""`xray-tui stop | hold | release | move | resume | revive`: commands that change jobs."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from engine.contract.errors import BadInput, Exit
from engine.contract.text import clean
from xray_tui.cli.common import find, open_store

if TYPE_CHECKING:
    from xray_tui.jobs.model.job import Job
    from xray_tui.jobs.storage.job_store import JobStore


def add_options(parser: argparse.ArgumentParser, command: str) -> None:
    parser.set_defaults(func=_revive if command == "revive" else _change, command=command)
    if command != "revive":
        parser.add_argument("ids", nargs=1 if command == "move" else "+", metavar="ID")
    if command == "move":
        where_help = "past your previous or next job, or 0 (first) to 99 (last)"
        parser.add_argument("where", metavar="up|down|PRIORITY", help=where_help)


def _change(options: argparse.Namespace) -> int:
    """Change each job and print the result. If jobs cannot be changed, raise BadInput after the others are changed."""
    store = open_store(options)
    change, result = _change_and_result(options, store)
    problems: list[str] = []
    for text in options.ids:
        try:
            job = change(store, find(store, text).id)
            print(f"{job.id}: {result(job)}")
        except BadInput as error:
            problems += error.lines
    if problems:
        raise BadInput(problems)
    return Exit.DONE


def _change_and_result(
    options: argparse.Namespace, store: JobStore
) -> tuple[Callable[[JobStore, str], Job], Callable[[Job], str]]:
    """Return the function that changes a job, and a function that describes the changed job."""
    from xray_tui.jobs.actions.queue_actions import hold, move, prioritise, release
    from xray_tui.jobs.actions.resume import resume, start_of
    from xray_tui.jobs.actions.stop import stop

    if options.command == "stop":
        return stop, lambda job: job.state if job.state.ended else "stop requested"
    if options.command == "hold":
        return hold, lambda job: "held"
    if options.command == "release":
        return release, lambda job: "released"
    if options.command == "resume":
        return partial(resume, **_settings(options)), lambda job: f"queued again; {start_of(job, store.runs)}"
    where: str = options.where
    if where.isdecimal():
        return partial(prioritise, priority=int(where)), lambda job: f"has priority {where}"
    if where not in ("up", "down"):
        raise BadInput(f"move: {clean(where)}: expected up, down or a priority from 0 to 99")
    return partial(move, steps=-1 if where == "up" else 1), lambda job: f"moved {where}"


def _revive(options: argparse.Namespace) -> int:
    from xray_tui.jobs.actions.resume import revive, start_of

    store = open_store(options)
    revived = revive(store, **_settings(options))
    for job, problem in revived:
        start = f"; {start_of(job, store.runs)}" if job.spec.resumes else ""
        print(problem or f"{job.id}: {job.spec.kind} {job.spec.run} is queued again{start}")
    if not revived:
        print("nothing to revive", file=sys.stderr)
    return Exit.DONE


def _settings(options: argparse.Namespace) -> dict[str, Any]:
    """The settings that a resumed job needs. Prints the environment variables that it does not inherit."""
    from xray_tui.jobs.storage.saved_environment import Filter
    from xray_tui.settings import settings_for

    settings = settings_for(options)
    environment = Filter.of(settings)
    if (note := environment.note()) is not None:
        print(f"xray-tui: {note}", file=sys.stderr)
    return {"lease_dir": settings.lease_dir, "environment": environment}
