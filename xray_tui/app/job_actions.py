"""The actions of the job keys, each with the notice that reports its result.

`perform` and `launch` wait for files, locks and new processes, so they must not run on the UI thread. Imports are
local because the start of the app needs none of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from engine.contract.errors import BadInput
from engine.contract.text import clean
from xray_tui.app.messages import Notice

if TYPE_CHECKING:
    from xray_tui.forms.options import Launch
    from xray_tui.jobs.model.job import Job
    from xray_tui.jobs.storage.job_store import JobStore
    from xray_tui.screens.confirm import ConfirmScreen
    from xray_tui.settings import Settings


@dataclass(frozen=True, slots=True)
class JobAction:
    """An action on one job."""

    run: Callable[[JobStore, str], Job]
    """Raises BadInput or OSError if the action fails."""
    done: str | Callable[[Job, Path], str]
    """The message after success, or a function of job and runs folder, called before the action, that returns it."""


def stop() -> JobAction:
    """Stop the job; ask `stop_question` first."""
    from xray_tui.jobs.actions.stop import stop

    return JobAction(stop, "asked to stop")


def stop_question(job: Job) -> ConfirmScreen:
    from xray_tui.screens.confirm import ConfirmScreen

    more = "It is still waiting." if job.state.waiting else "A training saves a checkpoint first and can be resumed."
    return ConfirmScreen(f"Stop {_named(job)}?", more, yes="stop it", no="keep it")


def resume(settings: Settings) -> JobAction:
    """Resume a training from its last checkpoint."""
    from xray_tui.jobs.actions.resume import resume, start_of
    from xray_tui.jobs.storage.saved_environment import Filter

    return JobAction(
        partial(resume, lease_dir=settings.lease_dir, environment=Filter.of(settings)),
        lambda job, runs: f"queued again; {start_of(job, runs)}",
    )


def hold_or_release(job: Job | None) -> JobAction:
    """Release the job if it is held or blocked, else hold it."""
    from xray_tui.jobs.actions.queue_actions import hold, release

    if job is not None and job.state in ("held", "blocked"):
        return JobAction(release, "released")
    return JobAction(hold, "held; H releases it")


def move(steps: int) -> JobAction:
    """Move the job in the queue by `steps`: -1 is one place up, 1 one place down."""
    from xray_tui.jobs.actions.queue_actions import move

    return JobAction(partial(move, steps=steps), "moved up in the queue" if steps < 0 else "moved down in the queue")


def perform(action: JobAction, job: Job, runs: Path) -> Notice:
    """Apply the action to a job of the runs folder."""
    from xray_tui.jobs.storage.job_store import JobStore

    try:
        done = action.done if isinstance(action.done, str) else action.done(job, runs)
        action.run(JobStore(runs), job.id)
    except (BadInput, OSError) as error:
        return Notice(str(error), "error")
    return Notice(f"{_named(job)}: {done}")


def launch(launch: Launch, settings: Settings, runs: Path) -> Notice:
    """Submit the jobs of a form."""
    from xray_tui.jobs.launch.dependencies import infer_dependencies
    from xray_tui.jobs.launch.launcher import LocalLauncher

    try:
        specs, _ = infer_dependencies(runs, launch.specs)
        launcher = LocalLauncher.of(settings, runs)
        jobs = launcher.launch_all(specs, launch.evaluate, launch.hold)
    except (BadInput, OSError) as error:
        return Notice(str(error), "error")
    single = len(jobs) == 1
    what = f"{_named(jobs[0])}:" if single else f"{len(jobs)} jobs"
    held = f"held; H in the job list releases {'it' if single else 'each'}"
    more = held if launch.hold else f"{'it continues' if single else 'they continue'} without the app"
    note = launcher.environment.note()
    return Notice(f"{what} launched{', ' if launch.hold else '; '}{more}{f' ({note})' if note else ''}")


def _named(job: Job) -> str:
    return f"{clean(job.spec.kind)} {clean(job.spec.run)}"
