"""`xray-tui hold | release | move | resume | revive`: commands that change jobs in the queue."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.contract.errors import BadInput, Exit
from xray_tui.cli.store_options import find, open_store

if TYPE_CHECKING:
    from xray_tui.jobs.model.job import Job
    from xray_tui.jobs.storage.job_store import JobStore

Add = Callable[[str, Callable[[argparse.Namespace], int], str], argparse.ArgumentParser]


def add_parsers(add: Add) -> None:
    """Add the commands with `add(name, function, description)`."""
    hold = add("hold", _hold, "Keep waiting jobs out of the queue until they are released.")
    hold.add_argument("ids", nargs="+", metavar="ID")
    release = add("release", _release, "Release held jobs, and blocked jobs despite their failed dependency.")
    release.add_argument("ids", nargs="+", metavar="ID")
    move = add("move", _move, "Move a job in the queue.")
    move.add_argument("id", metavar="ID")
    move.add_argument(
        "where", metavar="up|down|PRIORITY", help="past your previous or next job, or 0 (first) to 99 (last)"
    )
    resume = add("resume", _resume, "Continue trainings that were stopped, failed or are lost.")
    resume.add_argument("ids", nargs="+", metavar="ID")
    add(
        "revive",
        _revive,
        "After a restart of the machine, queue waiting jobs again and resume trainings. For `@reboot`.",
    )


def _hold(options: argparse.Namespace) -> int:
    from xray_tui.jobs.actions.queue_actions import hold

    return _for_each_job(options, hold, "held")


def _release(options: argparse.Namespace) -> int:
    from xray_tui.jobs.actions.queue_actions import release

    return _for_each_job(options, release, "released")


def _resume(options: argparse.Namespace) -> int:
    from xray_tui.jobs.actions.resume import resume, start_of

    return _for_each_job(
        options, partial(resume, **_resume_settings(options)), lambda job, runs: f"queued again; {start_of(job, runs)}"
    )


def _move(options: argparse.Namespace) -> int:
    from xray_tui.jobs.actions.queue_actions import move, prioritise

    if options.where not in ("up", "down") and not options.where.isdecimal():
        raise BadInput(f"move: {options.where}: expected up, down or a priority from 0 to 99")
    steps = {"up": -1, "down": 1}.get(options.where)

    def order(store: JobStore, job_id: str) -> Job:
        return prioritise(store, job_id, int(options.where)) if steps is None else move(store, job_id, steps)

    options.ids = [options.id]
    return _for_each_job(options, order, f"moved {options.where}" if steps else f"has priority {options.where}")


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
    return {"lease_dir": settings.lease_dir, "given": environment}


def _for_each_job(
    options: argparse.Namespace, order: Callable[[JobStore, str], Job], done: str | Callable[[Job, Path], str]
) -> int:
    """Apply `order` to each job and print `done` for it. A job that raises BadInput does not stop the others."""

    store = open_store(options)
    problems: list[str] = []
    for job_id in options.ids:
        try:
            job = find(store, job_id)
            result = done if isinstance(done, str) else done(job, store.runs)
            order(store, job.id)
        except BadInput as error:
            problems += error.lines
        else:
            print(f"{job.id}: {result}")
    if problems:
        raise BadInput(problems)
    return Exit.DONE
