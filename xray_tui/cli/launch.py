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
    from xray_tui.gpu.snapshot import GpuSnapshot
    from xray_tui.jobs.launch.dependencies import infer_dependencies
    from xray_tui.jobs.launch.launcher import LocalLauncher
    from xray_tui.jobs.launch.sweep import parse_seeds, parse_sweep, planned, trainings
    from xray_tui.jobs.model.job import JobSpec
    from xray_tui.jobs.model.request import read_request, shown_command
    from xray_tui.jobs.preflight.checks import BAD, OK
    from xray_tui.jobs.preflight.estimate import PastJobs
    from xray_tui.jobs.preflight.preflight import look_ahead
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
    refused = _refused(launcher, specs, snapshot)
    gpus = GpuSnapshot() if options.gpu == "none" else snapshot()
    outlook = look_ahead(specs, PastJobs(runs), gpus, launcher.terms, options.then_evaluate)
    if options.dry_run:
        commands = (shown_command(job.spec) for job in planned(specs, runs, options.then_evaluate))
        for line in dict.fromkeys((*(f"{BAD} {line}" for line in refused), *outlook.lines, *commands)):
            print(line)
        return Exit.BAD_INPUT if refused or outlook.is_bad else Exit.DONE
    failed = () if after else outlook.bad  # a job that comes before may write what is missing
    if problems := [*refused, *(check.text for check in failed)]:
        raise BadInput(problems)
    for check in outlook.checks:
        if check.sign != OK:
            print(f"xray-tui: {check.text}", file=sys.stderr)
    for job in launcher.launch_all(specs, options.then_evaluate, options.hold):
        print(job.id)
    return Exit.DONE


def _refused(launcher: LocalLauncher, specs: Sequence[JobSpec], snapshot: Callable[[], GpuSnapshot]) -> list[str]:
    """The reasons for which the launch itself would be refused."""
    from xray_tui.jobs.storage.job_store import JobStore

    lines: list[str] = []
    for spec in specs:
        try:
            launcher.check(spec, JobStore(launcher.runs), snapshot)
        except BadInput as error:
            lines += error.lines
    return lines
