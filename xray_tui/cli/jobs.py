"""`xray-tui jobs | logs | wait`."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from engine.contract.errors import Exit
from engine.contract.text import clean_log_line
from xray_tui.cli.common import find, open_store

if TYPE_CHECKING:
    from xray_tui.jobs.model.job import Job

POLL = 0.5
"""Poll interval in seconds of `logs --follow` and `wait`."""


def add_options(parser: argparse.ArgumentParser, command: str) -> None:
    if command == "jobs":
        parser.add_argument("--json", action="store_true", help="print a JSON list of objects")
    elif command == "logs":
        parser.add_argument("id", metavar="ID")
        parser.add_argument("-f", "--follow", action="store_true", help="continue until the job ends")
    else:
        parser.add_argument("ids", nargs="*", metavar="ID", help="default: all jobs that have not ended")
    parser.set_defaults(func={"jobs": _jobs, "logs": _logs, "wait": _wait}[command])


def _jobs(options: argparse.Namespace) -> int:
    from xray_tui.jobs.locks.lock_dir import existing_lock_dir
    from xray_tui.jobs.model.format import as_json, as_table
    from xray_tui.jobs.queue.tickets import in_words, others
    from xray_tui.jobs.supervise.recovery import recover_orphans
    from xray_tui.settings import settings_for
    from xray_tui.system.process import user

    jobs = recover_orphans(open_store(options))
    if options.json:
        print(json.dumps([as_json(job) for job in jobs], indent=2))
        return Exit.DONE
    if jobs:
        print(as_table(jobs, me=user()))
    else:
        print("no jobs", file=sys.stderr)
    with suppress(OSError):  # jobs of other users and other runs folders on this machine
        lease_dir = existing_lock_dir(settings_for(options).lease_dir)
        if note := in_words(others(lease_dir, {job.id for job in jobs})):
            print(note, file=sys.stderr)
    return Exit.DONE


def _logs(options: argparse.Namespace) -> int:
    from xray_tui.jobs.supervise.recovery import recover_orphans

    store = open_store(options)
    job = find(store, options.id)
    path, position, told = store.log(job.id), 0, False
    while options.follow and not job.state.ended:
        if job.state.waiting and job.waits and not told:
            told = True
            print(f"{job.id}: {job.state}, no log yet; waits: {job.waits}", file=sys.stderr)
        position = _print_log(path, position, whole_lines=True)
        time.sleep(POLL)
        recover_orphans(store)
        job = store.get(job.id)
    position = _print_log(path, position, whole_lines=False)
    if job.state.ended and job.cause and position <= job.log_from:  # for example, the job could not start
        print(f"{job.id}: {job.state}, its log is empty: {job.cause}", file=sys.stderr)
    return Exit.DONE


def _print_log(path: Path, position: int, whole_lines: bool) -> int:
    """Print the log from `position` without control characters and return the new position.

    `whole_lines` leaves out a last line that may still grow. Only the last state of a progress bar is printed.
    """
    from xray_tui.system.safe_files import open_regular

    with suppress(FileNotFoundError), os.fdopen(open_regular(path), "rb") as file:
        file.seek(position)
        for line in file:
            if whole_lines and not line.endswith(b"\n"):
                break
            print(clean_log_line(line.decode("utf-8", "replace")))
            position += len(line)
    sys.stdout.flush()
    return position


def _wait(options: argparse.Namespace) -> int:
    from xray_tui.jobs.model.job import State
    from xray_tui.jobs.supervise.recovery import recover_orphans

    store = open_store(options)
    job_ids = [find(store, text).id for text in options.ids]
    job_ids = job_ids or [job.id for job in recover_orphans(store) if not job.state.ended]
    reported: set[str] = set()
    while True:
        recover_orphans(store)
        jobs = [store.get(job_id) for job_id in job_ids]
        if all(job.state.ended for job in jobs):
            for job in jobs:
                if job.state is not State.SUCCEEDED:
                    cause = f": {job.cause}" if job.cause else ""
                    print(f"{job.id}: {job.spec.kind} {job.spec.run} {job.state}{cause}", file=sys.stderr)
            return exit_code(jobs)
        for job in jobs:  # only a user can release a held or blocked job
            if job.state in (State.HELD, State.BLOCKED) and job.id not in reported:
                reported.add(job.id)
                print(f"{job.id}: is {job.state}: {job.waits}; release it or stop it", file=sys.stderr)
        time.sleep(POLL)


def exit_code(jobs: Sequence[Job]) -> int:
    """0 if all jobs succeeded, otherwise the exit code of the first job that did not.

    The code is 128 + n for a job killed by signal n, 3 for a job stopped before it started, and 1 if it is unknown.
    """
    from xray_tui.jobs.model.job import State

    for job in jobs:
        if job.state is State.SUCCEEDED:
            continue
        if job.exit_code:
            return job.exit_code if job.exit_code > 0 else 128 - job.exit_code
        return Exit.STOPPED if job.state is State.STOPPED else Exit.OTHER
    return Exit.DONE
