"""`xray-tui hold | release | move | resume | revive`: what one may order of jobs from the command line."""

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
    """Add the commands by `add(name, function, description)`."""
    hold = add("hold", _hold, "Keep waiting jobs out of the queue until they are released.")
    hold.add_argument("ids", nargs="+", metavar="ID")
    release = add("release", _release, "Let held jobs go on, and blocked ones though another did not succeed.")
    release.add_argument("ids", nargs="+", metavar="ID")
    move = add("move", _move, "Give a queued job another place.")
    move.add_argument("id", metavar="ID")
    move.add_argument("where", metavar="up|down|PRIORITY", help="past the next of your jobs, or 0 (first) to 99 (last)")
    resume = add("resume", _resume, "Queue trainings that were stopped, have failed or are lost once more.")
    resume.add_argument("ids", nargs="+", metavar="ID")
    add("revive", _revive, "After a restart: queue again what waited, resume the trainings that ran. For `@reboot`.")


def _hold(given: argparse.Namespace) -> int:
    from xray_tui.jobs.actions.queue_actions import hold

    return _each(given, hold, "held")


def _release(given: argparse.Namespace) -> int:
    from xray_tui.jobs.actions.queue_actions import release

    return _each(given, release, "released")


def _resume(given: argparse.Namespace) -> int:
    from xray_tui.jobs.actions.resume import resume, start_of

    again = partial(resume, **_for_resume(given))
    return _each(given, again, lambda job, runs: f"queued again; {start_of(job, runs)}")


def _move(given: argparse.Namespace) -> int:
    from xray_tui.jobs.actions.queue_actions import move, prioritise

    if given.where not in ("up", "down") and not given.where.isdecimal():
        raise BadInput(f"move: {given.where}: give up, down, or a priority from 0 to 99")
    steps = {"up": -1, "down": 1}.get(given.where)

    def order(store: JobStore, identity: str) -> Job:
        return prioritise(store, identity, int(given.where)) if steps is None else move(store, identity, steps)

    given.ids = [given.id]
    return _each(given, order, f"moved {given.where}" if steps else f"has priority {given.where}")


def _revive(given: argparse.Namespace) -> int:
    from xray_tui.jobs.actions.resume import revive, start_of

    store = open_store(given)
    told = revive(store, **_for_resume(given))
    for job, problem in told:
        start = f"; {start_of(job, store.runs)}" if job.spec.resumes else ""
        print(problem or f"{job.id}: {job.spec.kind} {job.spec.run} is queued again{start}")
    if not told:
        print("nothing to revive", file=sys.stderr)
    return Exit.DONE


def _for_resume(given: argparse.Namespace) -> dict[str, Any]:
    """What a job that begins again takes from the settings; says which variables it does not get."""
    from xray_tui.jobs.storage.saved_environment import Filter
    from xray_tui.settings import settings_for

    found = settings_for(given)
    environment = Filter.of(found)
    if (note := environment.note()) is not None:
        print(f"xray-tui: {note}", file=sys.stderr)
    return {"lease_dir": found.lease_dir, "given": environment}


def _each(
    given: argparse.Namespace, order: Callable[[JobStore, str], Job], done: str | Callable[[Job, Path], str]
) -> int:
    """Do it to each job, and say so; what cannot be done is said at the end, and costs the others nothing."""

    store = open_store(given)
    problems: list[str] = []
    for identity in given.ids:
        try:
            job = find(store, identity)
            said = done if isinstance(done, str) else done(job, store.runs)
            order(store, job.id)
        except BadInput as error:
            problems += error.lines
        else:
            print(f"{job.id}: {said}")
    if problems:
        raise BadInput(problems)
    return Exit.DONE
