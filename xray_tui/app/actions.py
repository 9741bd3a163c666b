"""The key actions on jobs and on the board, with the notices that report their results.

The functions that return a Notice wait for files, locks and new processes, so they must not run on the UI thread.
Imports are local because none of them is needed when the app starts.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from engine.contract.errors import BadInput
from engine.contract.text import clean
from xray_tui.app.messages import Notice

if TYPE_CHECKING:
    from xray_tui.board.model import Board
    from xray_tui.feeds.gpu_feed import Gpus
    from xray_tui.forms.context import Drafts, Kind
    from xray_tui.forms.options import Launch
    from xray_tui.forms.screen import LaunchScreen
    from xray_tui.gpu.snapshot import GpuSnapshot
    from xray_tui.jobs.model.job import Job
    from xray_tui.jobs.storage.job_store import JobStore
    from xray_tui.screens.confirm import ConfirmScreen
    from xray_tui.settings import Settings

RECENT = 10.0
"""Maximum age in seconds of a GPU snapshot that an export reuses."""

JobAction = Callable[["JobStore", "Job"], str]
"""Acts on a job and returns what was done. Raises BadInput or OSError if that fails."""


def perform(action: JobAction, job: Job, runs: Path) -> Notice:
    """Apply the action to a job of the runs folder."""
    from xray_tui.jobs.storage.job_store import JobStore

    try:
        return Notice(f"{_named(job)}: {action(JobStore(runs), job)}")
    except (BadInput, OSError) as error:
        return Notice(str(error), "error")


def stop(store: JobStore, job: Job) -> str:
    """Stop the job. The caller must ask `stop_question` first."""
    from xray_tui.jobs.actions.stop import stop

    stop(store, job.id)
    return "asked to stop"


def stop_question(job: Job) -> ConfirmScreen:
    from xray_tui.screens.confirm import ConfirmScreen

    more = "It is still waiting." if job.state.waiting else "A training saves a checkpoint first and can be resumed."
    return ConfirmScreen(f"Stop {_named(job)}?", more, yes="stop it", no="keep it")


def job_of_process(pid: int, user: str | None, gpus: Gpus, jobs: Iterable[Job]) -> Job | str:
    """The active job of this runs folder that a GPU process belongs to, or the reason why no job can be stopped."""
    owner = gpus.owners.get(pid)
    job = next((job for job in jobs if owner is not None and job.id == owner.job), None)
    if job is not None and not job.state.ended:
        return job
    name = f"pid {pid}" + (f" of {clean(user)}" if user else "")
    if owner is None:
        return f"{name} belongs to no job of this runs folder; only such jobs can be stopped here"
    return f"{name} belongs to {clean(owner.run)}, but its job has ended or belongs to another runs folder"


def resume(store: JobStore, job: Job, settings: Settings) -> str:
    """Resume a training from its last checkpoint."""
    from xray_tui.jobs.actions.resume import resume, start_of
    from xray_tui.jobs.storage.saved_environment import Filter

    start = start_of(job, store.runs)
    resume(store, job.id, lease_dir=settings.lease_dir, environment=Filter.of(settings))
    return f"queued again; {start}"


def hold_or_release(store: JobStore, job: Job) -> str:
    """Release the job if it is held or blocked; otherwise hold it."""
    from xray_tui.jobs.actions.queue_actions import hold, release

    if job.state in ("held", "blocked"):
        release(store, job.id)
        return "released"
    hold(store, job.id)
    return "held; H releases it"


def move(store: JobStore, job: Job, steps: int) -> str:
    """Move the job in the queue by `steps`: -1 is one place up, 1 one place down."""
    from xray_tui.jobs.actions.queue_actions import move

    move(store, job.id, steps)
    return "moved up in the queue" if steps < 0 else "moved down in the queue"


def launch_form(
    kind: Kind, runs: Path, settings: Settings, jobs: Sequence[Job], current: str | None, marked: Sequence[str],
    snapshot: Callable[[], GpuSnapshot], drafts: Drafts,
) -> LaunchScreen:  # fmt: skip
    """The launch form, filled from the current run and the marked runs. `snapshot` returns the newest snapshot."""
    from xray_tui.forms.context import FormContext
    from xray_tui.forms.preflight_lines import make_preflight
    from xray_tui.forms.screen import LaunchScreen
    from xray_tui.jobs.queue.visible_gpus import limit_of_shell

    limit = limit_of_shell(snapshot)
    context = FormContext(
        kind,
        runs,
        current=current,
        marked=marked,
        gpus=[(gpu.uuid, f"{gpu.index} {clean(gpu.name)}") for gpu in (limit or snapshot()).gpus],
        gpu_limit=limit.words if limit else "",
        jobs=jobs,
        drafts=drafts,
    )
    return LaunchScreen(context, make_preflight(runs, settings, snapshot))


def launch(launch: Launch, settings: Settings, runs: Path) -> Notice:
    """Submit the jobs of a launch form."""
    from xray_tui.jobs.launch.dependencies import infer_dependencies
    from xray_tui.jobs.launch.launcher import LocalLauncher

    try:
        specs, _ = infer_dependencies(runs, launch.specs)
        launcher = LocalLauncher.of(settings, runs)
        jobs = launcher.launch_all(specs, launch.evaluate, launch.hold)
    except (BadInput, OSError) as error:
        return Notice(str(error), "error")
    what = f"{_named(jobs[0])}:" if len(jobs) == 1 else f"{len(jobs)} jobs"
    state = ", held; H in the job list releases a job" if launch.hold else "; jobs continue without the app"
    note = launcher.environment.note()
    return Notice(f"{what} launched{state}{f' ({note})' if note else ''}")


def export(board: Board, target: Path | None, gpus: Gpus | None, jobs: Iterable[Job]) -> Notice:
    """Write the board as Markdown to `target` (default: beside the runs folder), with a recent or new GPU snapshot."""
    from engine.contract.files import write_whole
    from xray_tui.board.exports.formats import default_path
    from xray_tui.board.exports.markdown import to_markdown
    from xray_tui.gpu.export_text import sentences
    from xray_tui.gpu.sampler import sample_once
    from xray_tui.jobs.supervise.process_owners import owners, runs_by_gpu

    path = (target or default_path(board.runs)).absolute()
    # After Ctrl+Z and `fg` the last snapshot may be hours old without being marked stale.
    recent = gpus is not None and (gpus.snapshot.stale or gpus.snapshot.age(time.time()) < RECENT)
    snapshot, samples = (gpus.snapshot, gpus.samples) if gpus is not None and recent else (sample_once(), None)
    whose = owners((process.pid for gpu in snapshot.gpus for process in gpu.processes or ()), jobs)
    status = sentences(snapshot, {pid: owner.run for pid, owner in whose.items()}, runs_by_gpu(jobs), samples)
    try:
        write_whole(path, to_markdown(board, status, time.strftime("%Y-%m-%d %H:%M:%S")))
    except OSError as error:
        return Notice(f"{path}: {error.strerror or error}; `export` in the settings names another file", "error")
    count = len(board.rows)
    return Notice(f"Exported {count} run{'' if count == 1 else 's'} to {path}")


def farewell(jobs: Sequence[Job], runs: Path | None) -> str | None:
    """The jobs that continue after the app, and the commands that show them; `runs` is None for the default folder."""
    waiting = sum(job.state.waiting for job in jobs)
    running = sum(not job.state.ended for job in jobs) - waiting
    if not (running or waiting):
        return None
    counts = ", ".join(f"{count} {state}" for count, state in ((running, "running"), (waiting, "waiting")) if count)
    if runs is not None and runs.is_relative_to(Path.cwd()):
        runs = runs.relative_to(Path.cwd())
    folder = "" if runs is None else f" {clean(shlex.quote(str(runs)))}"
    option = folder and f" --runs{folder}"
    return f"Jobs continue: {counts}; `xray-tui{folder}` shows them again, `xray-tui jobs{option}` lists them"


def _named(job: Job) -> str:
    return f"{clean(job.spec.kind)} {clean(job.spec.run)}"
