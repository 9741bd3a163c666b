"""`xray-tui launch`: submit jobs, or with --dry-run only check them."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from engine.contract.errors import BadInput, Exit
from xray_tui.cli.common import find, open_store

if TYPE_CHECKING:
    from xray_tui.gpu.snapshot import GpuSnapshot
    from xray_tui.jobs.launch.launcher import LocalLauncher
    from xray_tui.jobs.model.job import JobSpec


def add_options(parser: argparse.ArgumentParser, command: str) -> None:
    from xray_tui.jobs.model.job import KINDS, PRIORITY

    parser.usage = "%(prog)s [OPTIONS] train|evaluate|blend|command [OPTIONS] -- ARGUMENTS"
    parser.epilog = (
        "ARGUMENTS are the engine's (see `xray-engine KIND --help`), or the command itself: "
        "launch command --run NAME -- python scripts/train.py …"
    )
    add = parser.add_argument
    add("kind", choices=KINDS)
    add("--run", dest="name", metavar="NAME", help="the run of the job (default: the engine's --run)")
    gpu_help = "the GPU or GPUs (0,1) of the job; the start of a UUID is enough (default auto)"
    add("--gpu", default="auto", metavar="auto|none|N|UUID", help=gpu_help)
    add("--gpus", type=int, default=1, metavar="N", help="the number of GPUs, with --gpu auto (default 1)")
    add("--after", action="append", default=[], metavar="ID", help="start after this job succeeded; repeatable")
    add("--hold", action="store_true", help="keep the job out of the queue until it is released")
    add("--seeds", metavar="N,N,…", help="one training for each seed, as NAME_seeds/seed_N")
    add("--sweep", action="append", default=[], metavar="FIELD=V,V,…", help="one training for each value, NAME_sweep/…")
    add("--then-evaluate", action="store_true", help="evaluate each training afterwards: TTA auto, tuned threshold")
    add("--priority", type=int, default=PRIORITY, metavar="0-99", help="0 starts first (default %(default)s)")
    add("--dry-run", action="store_true", help="launch nothing; print the checks and the forecast")
    parser.set_defaults(func=_launch)


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
    snapshot = cache(sample_once)
    limit = None if options.gpu == "none" else limit_of_shell(snapshot)
    launcher = replace(LocalLauncher.of(settings, runs), snapshot=snapshot)
    for note in (
        *(f"waits for job {parent.id}, which trains {parent.spec.run}" for parent in parents),
        why_it_would_end(this_session()),
        limit.words if limit is not None and limit.gpus else None,
        launcher.environment.note(),
    ):
        if note is not None:
            print(f"xray-tui: {note}", file=sys.stderr)
    if options.dry_run:
        return _dry_run(launcher, specs, options.then_evaluate, snapshot)
    for job in launcher.launch_all(specs, options.then_evaluate, options.hold):
        print(job.id)
    return Exit.DONE


def _dry_run(
    launcher: LocalLauncher, specs: Sequence[JobSpec], then_evaluate: bool, snapshot: Callable[[], GpuSnapshot]
) -> int:
    """Print the reasons to refuse the launch, the checks, the forecast and the command of each job.

    Returns BAD_INPUT if the launch would be refused or a check is bad.
    """
    from xray_tui.jobs.launch.sweep import planned
    from xray_tui.jobs.model.request import shown_command
    from xray_tui.jobs.preflight.checks import BAD
    from xray_tui.jobs.preflight.estimate import PastJobs
    from xray_tui.jobs.preflight.preflight import look_ahead
    from xray_tui.jobs.storage.job_store import JobStore

    refused: list[str] = []
    store = JobStore(launcher.runs)
    for spec in specs:
        try:
            launcher.check(spec, store, snapshot)
        except BadInput as error:
            refused += [f"{BAD} {line}" for line in error.lines]
    outlook = look_ahead(specs, PastJobs(launcher.runs), snapshot(), launcher.terms, then_evaluate)
    commands = [shown_command(job.spec) for job in planned(specs, launcher.runs, then_evaluate)]
    for line in dict.fromkeys((*refused, *outlook.lines, *commands)):
        print(line)
    return Exit.BAD_INPUT if refused or outlook.is_bad else Exit.DONE
