"""`xray-tui launch --dry-run`: the checks, forecast and commands of a launch, without the launch."""

from __future__ import annotations

from collections.abc import Sequence

from engine.contract.errors import BadInput, Exit
from xray_tui.gpu.snapshot import GpuSnapshot
from xray_tui.jobs.launch.launcher import LocalLauncher
from xray_tui.jobs.launch.sweep import planned
from xray_tui.jobs.model.job import JobSpec
from xray_tui.jobs.model.request import shown_command
from xray_tui.jobs.preflight.checks import BAD
from xray_tui.jobs.preflight.estimate import PastJobs
from xray_tui.jobs.preflight.preflight import look_ahead
from xray_tui.jobs.storage.job_store import JobStore


def dry_run(launcher: LocalLauncher, specs: Sequence[JobSpec], then_evaluate: bool, snapshot: GpuSnapshot) -> int:
    """Print the reasons to refuse the launch, the checks, the forecast and the command of each job.

    Returns BAD_INPUT if the launch would be refused or a check is bad.
    """
    refused: list[str] = []
    store = JobStore(launcher.runs)
    for spec in specs:
        try:
            launcher.check(spec, store, lambda: snapshot)
        except BadInput as error:
            refused += error.lines
    outlook = look_ahead(specs, PastJobs(launcher.runs), snapshot, launcher.terms, then_evaluate)
    commands = [shown_command(job.spec) for job in planned(specs, launcher.runs, then_evaluate)]
    for line in dict.fromkeys((*(f"{BAD} {line}" for line in refused), *outlook.lines, *commands)):
        print(line)
    return Exit.BAD_INPUT if refused or outlook.is_bad else Exit.DONE
