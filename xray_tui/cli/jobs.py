"""`xray-tui launch | jobs | logs | stop | wait`. Each command imports its modules late, so that --help is fast."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.contract.errors import BadInput, Exit
from engine.contract.text import clean_log_line
from xray_tui.cli import queue
from xray_tui.cli.store_options import add_runs, find, open_store

if TYPE_CHECKING:
    from xray_tui.jobs.model.job import Job

POLL = 0.5
"""Poll interval in seconds of `logs --follow` and `wait`."""
_LONGEST_LINE = 1 << 16
"""Bytes of a log line read at once."""

Subparsers = argparse._SubParsersAction  # argparse has no public name for it


def add_parsers(subparsers: Subparsers[argparse.ArgumentParser]) -> None:
    """Add the commands. `func` of the parsed options runs one: it returns the exit status and may raise BadInput."""
    from xray_tui.jobs.model.job import KINDS

    launch = _add(subparsers, "launch", _launch, "Submit a detached job and print its id.")
    launch.usage = "%(prog)s [OPTIONS] train|evaluate|blend|command [OPTIONS] -- ARGUMENTS"
    launch.epilog = (
        "ARGUMENTS are the engine's (see `xray-engine KIND --help`), or the command itself: "
        "launch command --run NAME -- python scripts/train.py …"
    )
    launch.add_argument("kind", choices=KINDS)
    launch.add_argument("--run", dest="name", metavar="NAME", help="the run of the job (default: the engine's --run)")
    launch.add_argument(
        "--gpu",
        default="auto",
        metavar="auto|none|N|UUID",
        help="the GPU or GPUs (0,1) of the job; the start of a UUID is enough (default auto)",
    )
    launch.add_argument(
        "--gpus", type=int, default=1, metavar="N", help="the number of GPUs, with --gpu auto (default 1)"
    )
    launch.add_argument(
        "--after", action="append", default=[], metavar="ID", help="start after this job has succeeded; repeatable"
    )
    launch.add_argument("--hold", action="store_true", help="keep the job out of the queue until it is released")
    launch.add_argument("--seeds", metavar="N,N,…", help="one training for each seed, as NAME_seeds/seed_N")
    launch.add_argument(
        "--sweep",
        action="append",
        default=[],
        metavar="FIELD=V,V,…",
        help="one training for each value, as NAME_sweep/…",
    )
    launch.add_argument(
        "--then-evaluate", action="store_true", help="evaluate each training afterwards: hv, tuned threshold"
    )
    launch.add_argument("--priority", type=int, default=50, metavar="0-99", help="0 starts first (default 50)")
    launch.add_argument("--dry-run", action="store_true", help="launch nothing; print the checks and the forecast")
    _split_at_dashes(launch)

    jobs = _add(subparsers, "jobs", _jobs, "List the jobs, newest first.")
    jobs.add_argument("--json", action="store_true", help="print a JSON list of objects")

    logs = _add(subparsers, "logs", _logs, "Print the log of a job.")
    logs.add_argument("id", metavar="ID")
    logs.add_argument("-f", "--follow", action="store_true", help="continue until the job ends")

    stop = _add(subparsers, "stop", _stop, "Stop jobs with SIGTERM, and with SIGKILL after a grace period.")
    stop.add_argument("ids", nargs="+", metavar="ID")

    wait = _add(subparsers, "wait", _wait, "Wait until jobs have ended. The exit status is 0 if all succeeded.")
    wait.add_argument("ids", nargs="+", metavar="ID")

    queue.add_parsers(lambda name, run, what: _add(subparsers, name, run, what))


def _add(
    subparsers: Subparsers[argparse.ArgumentParser], name: str, run: Callable[[argparse.Namespace], int], what: str
) -> argparse.ArgumentParser:
    parser = subparsers.add_parser(name, help=what, description=what, allow_abbrev=False)
    add_runs(parser)
    parser.set_defaults(func=run)
    return parser


def _split_at_dashes(parser: argparse.ArgumentParser) -> None:
    """Store the words after `--` unparsed as `arguments`.

    No positional of argparse can do this: nargs="*" matches nothing if an option follows, REMAINDER takes that option.
    """
    parse = parser.parse_known_args

    def parse_own(args: Sequence[str], namespace: Any = None) -> tuple[Any, list[str]]:
        words = list(args)
        at = words.index("--") if "--" in words else len(words)
        parsed, unknown = parse(words[:at], namespace)
        parsed.arguments = words[at + 1 :]
        return parsed, unknown

    parser.parse_known_args = parse_own  # type: ignore[method-assign, assignment]


# -- launch -----------------------------------------------------------------------------------------------------------


def _launch(options: argparse.Namespace) -> int:
    from dataclasses import replace
    from functools import cache

    from xray_tui.gpu.sampler import sample_once
    from xray_tui.jobs.launch.dependencies import infer_dependencies
    from xray_tui.jobs.launch.launcher import LocalLauncher
    from xray_tui.jobs.launch.sweep import parse_seeds, parse_sweep, trainings
    from xray_tui.jobs.model.job import JobSpec
    from xray_tui.jobs.model.request import read_request
    from xray_tui.jobs.queue.visible_gpus import limit_of_shell
    from xray_tui.settings import runs_folder, settings_for
    from xray_tui.system.login_session import this_session, why_it_would_end

    settings = settings_for(options)
    runs = runs_folder(options.runs, settings)
    if options.then_evaluate and options.kind != "train":
        raise BadInput(f"--then-evaluate: expected a job of kind train, got {options.kind}")
    run, request = read_request(options.kind, options.arguments, runs, options.name)
    after = tuple(find(open_store(options), job_id).id for job_id in options.after)
    spec = JobSpec(options.kind, run, request, options.gpu, options.gpus, after, options.priority)
    specs = trainings(spec, parse_seeds(options.seeds) if options.seeds else (), parse_sweep(options.sweep))
    specs, parents = infer_dependencies(runs, specs)
    for parent in parents:
        print(f"xray-tui: waits for job {parent.id}, which trains {parent.spec.run}", file=sys.stderr)
    if (ending := why_it_would_end(this_session())) is not None:
        print(f"xray-tui: {ending}", file=sys.stderr)
    snapshot = cache(sample_once)
    if options.gpu != "none" and (limit := limit_of_shell(snapshot)) is not None and limit.gpus:
        print(f"xray-tui: {limit.words}", file=sys.stderr)
    launcher = replace(LocalLauncher.of(settings, runs), snapshot=snapshot)
    if (note := launcher.environment.note()) is not None:
        print(f"xray-tui: {note}", file=sys.stderr)
    if options.dry_run:
        from xray_tui.cli.dry_run import dry_run

        return dry_run(launcher, specs, options.then_evaluate, snapshot())
    for job in launcher.launch_all(specs, options.then_evaluate, options.hold):
        print(job.id)
    return Exit.DONE


# -- jobs -------------------------------------------------------------------------------------------------------------


def _jobs(options: argparse.Namespace) -> int:
    from xray_tui.jobs.model.format import as_json, as_table
    from xray_tui.jobs.supervise.recovery import recover_orphans

    jobs = recover_orphans(open_store(options))
    if options.json:
        import json

        print(json.dumps([as_json(job) for job in jobs], indent=2))
    elif jobs:
        from xray_tui.system.process import user

        print(as_table(jobs, me=user()))
    else:
        print("no jobs", file=sys.stderr)
    if not options.json and (note := _other_jobs(options, jobs)):
        print(note, file=sys.stderr)
    return Exit.DONE


def _other_jobs(options: argparse.Namespace, jobs: Sequence[Job]) -> str:
    """A note on the jobs of other users and other runs folders on this machine; empty if there are none."""
    from xray_tui.jobs.locks.lock_dir import existing_lease_dir
    from xray_tui.jobs.queue.tickets import in_words, others
    from xray_tui.settings import settings_for

    try:
        return in_words(others(existing_lease_dir(settings_for(options).lease_dir), {job.id for job in jobs}))
    except OSError:
        return ""


# -- logs, stop, wait -------------------------------------------------------------------------------------------------


def _logs(options: argparse.Namespace) -> int:
    from xray_tui.jobs.supervise.recovery import recover_orphans

    store = open_store(options)
    job = find(store, options.id)
    path, position = store.log(job.id), 0
    while True:
        follow = options.follow and not job.state.ended
        position = _print_log(path, position, whole_lines=follow)
        if not follow:
            break
        time.sleep(POLL)
        recover_orphans(store)
        job = store.get(job.id)
    if job.state.ended and job.cause and position <= job.log_from:  # for example, the job could not start
        print(f"{job.id}: {job.state}, its log is empty: {job.cause}", file=sys.stderr)
    return Exit.DONE


def _print_log(path: Path, position: int, whole_lines: bool) -> int:
    """Print the log from `position` without control characters and return the new position.

    `whole_lines` leaves out a last line that may still grow. Long lines are read in pieces; of a progress bar, only the
    last state is printed.
    """
    from xray_tui.system.safe_files import open_regular

    try:
        with os.fdopen(open_regular(path), "rb") as file:
            file.seek(position)
            while line := file.readline(_LONGEST_LINE):
                is_piece = not line.endswith(b"\n") and len(line) == _LONGEST_LINE
                if whole_lines and not line.endswith(b"\n") and not is_piece:
                    break
                if is_piece and (last := line.rstrip(b"\r").rfind(b"\r") + 1):
                    position = file.seek(position + last)
                    continue
                print(clean_log_line(line.decode("utf-8", "replace")), end="" if is_piece else "\n")
                position += len(line)
    except FileNotFoundError:
        pass
    sys.stdout.flush()
    return position


def _stop(options: argparse.Namespace) -> int:
    from xray_tui.jobs.actions.stop import stop

    store = open_store(options)
    problems: list[str] = []
    for text in options.ids:
        try:
            job = stop(store, find(store, text).id)
        except BadInput as error:
            problems += error.lines
        else:
            print(f"{job.id}: {job.state}" if job.state.ended else f"{job.id}: stop requested")
    if problems:
        raise BadInput(problems)
    return Exit.DONE


def _wait(options: argparse.Namespace) -> int:
    from xray_tui.jobs.model.job import State
    from xray_tui.jobs.supervise.recovery import recover_orphans

    store = open_store(options)
    job_ids = [find(store, text).id for text in options.ids]
    reported: set[str] = set()
    while True:
        recover_orphans(store)
        jobs = [store.get(job_id) for job_id in job_ids]
        if all(job.state.ended for job in jobs):
            return exit_code(jobs)
        for job in jobs:  # without a user, a held or blocked job would wait for ever
            if job.state in (State.HELD, State.BLOCKED) and job.id not in reported:
                reported.add(job.id)
                print(f"{job.id}: is {job.state}: {job.waits}; release it or stop it", file=sys.stderr)
        time.sleep(POLL)


def exit_code(jobs: Sequence[Job]) -> int:
    """0 if all jobs succeeded, else the exit code of the first job that did not.

    128 + n for a job killed by signal n, 3 for a job stopped before it started, 1 if the code is unknown.
    """
    from xray_tui.jobs.model.job import State

    for job in jobs:
        if job.state is State.SUCCEEDED:
            continue
        if job.exit_code:
            return job.exit_code if job.exit_code > 0 else 128 - job.exit_code
        return Exit.STOPPED if job.state is State.STOPPED else Exit.OTHER
    return Exit.DONE
