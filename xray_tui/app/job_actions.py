"""What the keys order of jobs, and what is said once that is done.

Orders are values; `give` and `launch` carry them out. These wait for files, locks and new processes: not for the UI
thread. What they need is imported when a key asks for it, as the app's start does not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from engine.contract.errors import BadInput
from engine.contract.text import clean
from xray_tui.app.messages import Said

if TYPE_CHECKING:
    from xray_tui.forms.options import Launch
    from xray_tui.jobs.model.job import Job
    from xray_tui.jobs.storage.job_store import JobStore
    from xray_tui.screens.confirm import ConfirmScreen
    from xray_tui.settings import Settings


@dataclass(frozen=True, slots=True)
class Order:
    """Something that is done to one job."""

    do: Callable[[JobStore, str], Job]
    """Raises BadInput or OSError where it cannot be done."""
    done: str | Callable[[Job, Path], str]
    """The message afterwards, or a function of the job and its runs folder that makes the message beforehand."""


def stop() -> Order:
    """Stop it; `stop_question` is asked first."""
    from xray_tui.jobs.actions.stop import stop

    return Order(stop, "asked to stop")


def stop_question(job: Job) -> ConfirmScreen:
    """Whether that is meant."""
    from xray_tui.screens.confirm import ConfirmScreen

    more = "It is still waiting." if job.state.waiting else "A training saves a checkpoint first and can go on."
    return ConfirmScreen(f"Stop {_named(job)}?", more, yes="stop it", no="let it go on")


def resume(settings: Settings) -> Order:
    """Go on with a training."""
    from xray_tui.jobs.actions.resume import resume, start_of
    from xray_tui.jobs.storage.saved_environment import Filter

    return Order(
        partial(resume, lease_dir=settings.lease_dir, given=Filter.of(settings)),
        lambda job, runs: f"queued again; {start_of(job, runs)}",
    )


def hold_or_release(job: Job | None) -> Order:
    """Hold it, or let it go on if it is held or blocked."""
    from xray_tui.jobs.actions.queue_actions import hold, release

    if job is not None and job.state in ("held", "blocked"):
        return Order(release, "released")
    return Order(hold, "held; H lets it go on")


def move(steps: int) -> Order:
    """Let it change places in the queue: -1 up, 1 down."""
    from xray_tui.jobs.actions.queue_actions import move

    return Order(partial(move, steps=steps), "moved up in the queue" if steps < 0 else "moved down in the queue")


def give(order: Order, job: Job, runs: Path) -> Said:
    """Do it to the job of that runs folder; what there is to say of how that went."""
    from xray_tui.jobs.storage.job_store import JobStore

    try:
        done = order.done if isinstance(order.done, str) else order.done(job, runs)
        order.do(JobStore(runs), job.id)
    except (BadInput, OSError) as error:
        return Said(str(error), "error")
    return Said(f"{_named(job)}: {done}")


def launch(launch: Launch, settings: Settings, runs: Path) -> Said:
    """Hand the jobs to their supervisors; what there is to say of how that went."""
    from xray_tui.jobs.launch.dependencies import all_behind
    from xray_tui.jobs.launch.launcher import LocalLauncher
    from xray_tui.jobs.launch.sweep import launch_all

    try:
        specs, _ = all_behind(runs, launch.specs)
        launcher = LocalLauncher.of(settings, runs)
        jobs = launch_all(launcher, specs, launch.evaluate, launch.hold)
    except (BadInput, OSError) as error:
        return Said(str(error), "error")
    one = len(jobs) == 1
    what = f"{_named(jobs[0])}:" if one else f"{len(jobs)} jobs"
    held = f"held; H in the jobs lets {'it' if one else 'each'} go on"
    more = held if launch.hold else f"{'it goes' if one else 'they go'} on without the app"
    note = launcher.environment.note()
    return Said(f"{what} launched{', ' if launch.hold else '; '}{more}{f' ({note})' if note else ''}")


def _named(job: Job) -> str:
    return f"{clean(job.spec.kind)} {clean(job.spec.run)}"
