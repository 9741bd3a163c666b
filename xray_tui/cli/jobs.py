"""`xray-tui launch | jobs | logs | stop | wait …`. Only argparse at first; each command imports what it needs."""

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
_LONGEST_LINE = 1 << 16

Subparsers = argparse._SubParsersAction  # argparse has no public name for what add_subparsers returns


def add_parsers(subparsers: Subparsers[argparse.ArgumentParser]) -> None:
    """Add the commands. Each sets `func`: it takes the parsed arguments, returns the exit code, and raises BadInput."""
    from xray_tui.jobs.model.job import KINDS

    launch = _add(subparsers, "launch", _launch, "Launch a job of the engine, detached; prints its id.")
    launch.usage = "%(prog)s [OPTIONS] train|evaluate|blend|command [OPTIONS] -- ARGUMENTS"
    launch.epilog = (
        "What follows -- goes to the engine (`xray-engine KIND --help` tells of it), or is the command itself: "
        "launch command --run NAME -- python scripts/train.py …"
    )
    launch.add_argument("kind", choices=KINDS)
    launch.add_argument("--run", dest="name", metavar="NAME", help="the run it is for (default: the engine's --run)")
    launch.add_argument(
        "--gpu",
        default="auto",
        metavar="auto|none|N|UUID",
        help="which GPU it gets, or which (0,1); of a UUID the beginning will do (default auto)",
    )
    launch.add_argument("--gpus", type=int, default=1, metavar="N", help="so many GPUs at once, with --gpu auto")
    launch.add_argument("--after", action="append", default=[], metavar="ID", help="only once that job has succeeded")
    launch.add_argument("--hold", action="store_true", help="keep it waiting until it is released")
    launch.add_argument("--seeds", metavar="N,N,…", help="train once for each seed: NAME_seeds/seed_N")
    launch.add_argument(
        "--sweep", action="append", default=[], metavar="FIELD=V,V,…", help="train once for each value: NAME_sweep/…"
    )
    launch.add_argument("--then-evaluate", action="store_true", help="after a training: hv, threshold tuned")
    launch.add_argument("--priority", type=int, default=50, metavar="0-99", help="0 is served first (default 50)")
    launch.add_argument(
        "--dry-run", action="store_true", help="launch nothing: check data, weights and room, say what it will take"
    )
    _split_at_dashes(launch)

    jobs = _add(subparsers, "jobs", _jobs, "List the jobs, newest first.")
    jobs.add_argument("--json", action="store_true", help="as a JSON list of objects")

    logs = _add(subparsers, "logs", _logs, "Print the log of a job.")
    logs.add_argument("id", metavar="ID")
    logs.add_argument("-f", "--follow", action="store_true", help="go on until the job ends")

    stop = _add(subparsers, "stop", _stop, "Stop jobs: SIGTERM, and after a grace period SIGKILL.")
    stop.add_argument("ids", nargs="+", metavar="ID")

    wait = _add(subparsers, "wait", _wait, "Wait for the end of jobs; 0 when all succeeded.")
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
    """Let what follows `--` be `arguments`, untouched. argparse cannot say that: a positional with nargs="*" is taken
    as empty before an option that stands between, and with REMAINDER it takes that option too."""
    parse = parser.parse_known_args

    def parse_own(args: Sequence[str], namespace: Any = None) -> tuple[Any, list[str]]:
        words = list(args)
        at = words.index("--") if "--" in words else len(words)
        parsed, unknown = parse(words[:at], namespace)
        parsed.arguments = words[at + 1 :]
        return parsed, unknown

    parser.parse_known_args = parse_own  # type: ignore[method-assign, assignment]


# -- launch -----------------------------------------------------------------------------------------------------------


def _launch(given: argparse.Namespace) -> int:
    from dataclasses import replace
    from functools import cache

    from xray_tui.gpu.sampler import sample_once
    from xray_tui.jobs.launch.dependencies import all_behind
    from xray_tui.jobs.launch.launcher import LocalLauncher
    from xray_tui.jobs.launch.sweep import parse_seeds, parse_sweep, trainings
    from xray_tui.jobs.model.job import JobSpec
    from xray_tui.jobs.model.request import read_request
    from xray_tui.jobs.queue.visible_gpus import limit_of_shell
    from xray_tui.settings import runs_folder, settings_for
    from xray_tui.system.login_session import this_session, why_it_would_end

    settings = settings_for(given)
    runs = runs_folder(given.runs, settings)
    if given.then_evaluate and given.kind != "train":
        raise BadInput(f"--then-evaluate: comes after a training; {given.kind} is none")
    run, request = read_request(given.kind, given.arguments, runs, given.name)
    after = tuple(find(open_store(given), identity).id for identity in given.after)
    spec = JobSpec(given.kind, run, request, given.gpu, given.gpus, after, given.priority)
    specs = trainings(spec, parse_seeds(given.seeds) if given.seeds else (), parse_sweep(given.sweep))
    specs, parents = all_behind(runs, specs)
    for parent in parents:
        print(f"xray-tui: waits for job {parent.id}, which trains {parent.spec.run}", file=sys.stderr)
    if (ending := why_it_would_end(this_session())) is not None:
        print(f"xray-tui: {ending}", file=sys.stderr)
    snapshot = cache(sample_once)
    if given.gpu != "none" and (limit := limit_of_shell(snapshot)) is not None and limit.gpus:
        print(f"xray-tui: {limit.words}", file=sys.stderr)
    launcher = replace(LocalLauncher.of(settings, runs), snapshot=snapshot)
    if (note := launcher.environment.note()) is not None:
        print(f"xray-tui: {note}", file=sys.stderr)
    if given.dry_run:
        from xray_tui.cli.dry_run import dry_run

        return dry_run(launcher, specs, given.then_evaluate, snapshot())
    for job in launcher.launch_all(specs, given.then_evaluate, given.hold):
        print(job.id)
    return Exit.DONE


# -- jobs -------------------------------------------------------------------------------------------------------------


def _jobs(given: argparse.Namespace) -> int:
    from xray_tui.jobs.model.format import as_json, as_table
    from xray_tui.jobs.supervise.recovery import recover_orphans

    jobs = recover_orphans(open_store(given))
    if given.json:
        import json

        print(json.dumps([as_json(job) for job in jobs], indent=2))
    elif jobs:
        from xray_tui.system.process import user

        print(as_table(jobs, me=user()))
    else:
        print("no jobs", file=sys.stderr)
    if not given.json and (said := _of_others(given, jobs)):
        print(said, file=sys.stderr)
    return Exit.DONE


def _of_others(given: argparse.Namespace, jobs: Sequence[Job]) -> str:
    """What other users, and other runs folders, wait for on this machine."""
    from xray_tui.jobs.locks.lock_dir import existing_lease_dir
    from xray_tui.jobs.queue.other_users import in_words, others
    from xray_tui.settings import settings_for

    try:
        return in_words(others(existing_lease_dir(settings_for(given).lease_dir), {job.id for job in jobs}))
    except OSError:
        return ""


# -- logs, stop, wait -------------------------------------------------------------------------------------------------


def _logs(given: argparse.Namespace) -> int:
    from xray_tui.jobs.supervise.recovery import recover_orphans

    store = open_store(given)
    job = find(store, given.id)
    path, position = store.log(job.id), 0
    while True:
        goes_on = given.follow and not job.state.ended
        position = _print_log(path, position, whole_lines=goes_on)
        if not goes_on:
            break
        time.sleep(POLL)
        recover_orphans(store)
        job = store.get(job.id)
    if job.state.ended and job.cause and position <= job.log_from:  # such as a job that could not be started
        print(f"{job.id}: {job.state}, its log is empty: {job.cause}", file=sys.stderr)
    return Exit.DONE


def _print_log(path: Path, position: int, whole_lines: bool) -> int:
    """Print what follows `position`, neutralised, with `whole_lines` without a line that may still grow; returns the
    position after it. Of a long line only a piece is in memory, and of a progress bar only its last state is shown."""
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


def _stop(given: argparse.Namespace) -> int:
    from xray_tui.jobs.actions.stop import stop

    store = open_store(given)
    problems: list[str] = []
    for identity in given.ids:
        try:
            job = stop(store, find(store, identity).id)
        except BadInput as error:
            problems += error.lines
        else:
            print(f"{job.id}: {job.state}" if job.state.ended else f"{job.id}: asked to stop")
    if problems:
        raise BadInput(problems)
    return Exit.DONE


def _wait(given: argparse.Namespace) -> int:
    from xray_tui.jobs.model.job import State
    from xray_tui.jobs.supervise.recovery import recover_orphans

    store = open_store(given)
    wanted = [find(store, identity).id for identity in given.ids]
    told: set[str] = set()
    while True:
        recover_orphans(store)
        jobs = [store.get(identity) for identity in wanted]
        if all(job.state.ended for job in jobs):
            return exit_code(jobs)
        for job in jobs:  # which may be for ever
            if job.state in (State.HELD, State.BLOCKED) and job.id not in told:
                told.add(job.id)
                print(f"{job.id}: is {job.state}: {job.waits}; release it or stop it", file=sys.stderr)
        time.sleep(POLL)


def exit_code(jobs: Sequence[Job]) -> int:
    """0 when all succeeded, else the engine's code of the first that did not: as shells have it 128 + n for signal n,
    3 for a job that was stopped before it began, 1 where there is none."""
    from xray_tui.jobs.model.job import State

    for job in jobs:
        if job.state is State.SUCCEEDED:
            continue
        if job.exit_code:
            return job.exit_code if job.exit_code > 0 else 128 - job.exit_code
        return Exit.STOPPED if job.state is State.STOPPED else Exit.OTHER
    return Exit.DONE
