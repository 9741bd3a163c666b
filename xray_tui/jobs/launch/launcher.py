"""Launch jobs on this machine: check and queue them, and start a detached supervisor for each."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import random
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from engine.contract.errors import BadInput
from engine.contract.names import JOB, JOBS, run_path
from engine.contract.text import clean
from xray_tui.gpu.sampler import sample_once
from xray_tui.gpu.snapshot import GpuSnapshot
from xray_tui.jobs.launch.check_spec import check_spec, program_problem
from xray_tui.jobs.launch.freeze import EngineCopy, config_text, freeze_engine, keep_config
from xray_tui.jobs.launch.gpu_request import resolve_request
from xray_tui.jobs.launch.sweep import evaluation_of
from xray_tui.jobs.locks import file_lock
from xray_tui.jobs.locks.lock_dir import LockDir, find_lock_dir
from xray_tui.jobs.model.gpu_policy import GpuPolicy, policy_of
from xray_tui.jobs.model.job import CPU_SLOTS, GRACE, Job, JobSpec, State, write_job
from xray_tui.jobs.queue import admission
from xray_tui.jobs.queue.tickets import Queue, Ticket
from xray_tui.jobs.storage import saved_environment as environment
from xray_tui.jobs.storage.job_store import JobStore, claim
from xray_tui.jobs.storage.saved_environment import Filter
from xray_tui.jobs.supervise import detach
from xray_tui.jobs.supervise import end_hook as on_end
from xray_tui.jobs.supervise.recovery import recover_orphans
from xray_tui.system import process
from xray_tui.system.safe_files import make_folder, make_jobs_folder, not_ours

if TYPE_CHECKING:
    from xray_tui.settings import Settings

ENGINE = (sys.executable, "-P", "-m", "engine.cli")
"""-P keeps a folder named engine in the working directory from being imported."""

_ENGINE_NEEDS = ("torch", "torchvision", "segmentation_models_pytorch", "numpy", "PIL")
_LETTERS = "bcdfghjkmnpqrstvwxz23456789"
"""No vowels, and no characters that look alike."""


@dataclass(frozen=True, slots=True)
class LocalLauncher:
    """Launches jobs for a runs folder on this machine."""

    runs: Path
    lease_dir: Path | str | None = None
    """Lease folder; None means that find_lock_dir chooses it."""
    snapshot: Callable[[], GpuSnapshot] = sample_once
    """Returns a GPU snapshot; called only if the job, the settings or $CUDA_VISIBLE_DEVICES name GPUs."""
    engine: tuple[str, ...] = ENGINE
    supervisor: tuple[str, ...] = detach.SUPERVISOR
    grace: float = GRACE
    cpu_slots: int = CPU_SLOTS
    terms: GpuPolicy = GpuPolicy()  # noqa: RUF009 - frozen
    """GPU policy; here `allowed` may also contain indices."""
    on_end: tuple[str, ...] = ()
    """Command to run at the end of a job; stored with the job."""
    environment: Filter = Filter()  # noqa: RUF009 - frozen
    """Selects the environment variables that the job inherits."""

    @classmethod
    def of(cls, settings: Settings, runs: Path) -> LocalLauncher:
        """A launcher with the user's settings. Raises BadInput if they are invalid."""
        variables = Filter.of(settings)
        return cls(runs, settings.lease_dir, terms=policy_of(settings), on_end=settings.on_end, environment=variables)

    def launch(self, spec: JobSpec, hold: bool = False) -> Job:
        """Launch one job, as launch_all does."""
        return self.launch_all([spec], hold=hold)[0]

    def launch_all(self, specs: Sequence[JobSpec], evaluate: bool = False, hold: bool = False) -> list[Job]:
        """Queue the jobs, or hold them if `hold`, and start their detached supervisors; return the waiting jobs.

        `evaluate` adds an evaluation after each training. If it raises BadInput, nothing was launched.
        """
        specs = [replace(spec, run=run_path(spec.run)) for spec in specs]
        store, snapshot = JobStore(self.runs), cache(self.snapshot)
        for spec in specs:
            self.check(spec, store, snapshot)
        leases = find_lock_dir(self.lease_dir)
        copied = self.engine == ENGINE
        freeze = cache(lambda: freeze_engine(store.runs / JOBS) if copied else EngineCopy(self.engine, None))
        batch = _Batch(self, store, leases, snapshot, freeze)
        try:
            with batch.undo:
                make_jobs_folder(store.runs)
                for spec in specs:
                    batch.submit(spec, hold)
                    if evaluate and spec.kind == "train":
                        batch.submit(evaluation_of(batch.jobs[-1], self.runs))
                detach.start_supervisors(batch.held, self.supervisor)
                batch.undo.pop_all()
        except OSError as error:
            where = clean(str(error.filename or self.runs))
            raise BadInput(f"{where}: {clean(error.strerror or str(error))}; the job was not launched") from error
        finally:
            for _, lock in batch.held:
                os.close(lock)
        return batch.jobs

    def check(self, spec: JobSpec, store: JobStore, snapshot: Callable[[], GpuSnapshot]) -> None:
        """Raises BadInput if the job cannot be launched now. Reads files but launches nothing."""
        check_spec(spec)
        if not self.runs.absolute().parent.is_dir():
            raise BadInput(f"{clean(str(self.runs))}: no such folder; expected at least its parent to exist")
        if spec.kind == "command":
            if (problem := program_problem(spec.argv, self.environment.environment())) is not None:
                raise BadInput(f"command: {problem}")
        elif self.engine == ENGINE:
            check_engine()
        for identity in spec.after:
            store.get(identity)
        self._check_free(store, spec)
        resolve_request(spec, self.terms, snapshot)

    def _check_free(self, store: JobStore, spec: JobSpec) -> None:
        if spec.kind != "train":
            return
        if (owner := claim(store, store.jobs(), spec.run)) is not None:
            owner = claim(store, recover_orphans(store, self.supervisor), spec.run)  # its supervisor may have died
        if owner is not None:
            raise BadInput(f"{spec.run}: claimed by job {owner.id} ({owner.state}); stop that, or give another name")
        if spec.resumes:
            return
        folder = self.runs / spec.run
        try:
            empty = not folder.exists() or (folder.is_dir() and not any(folder.iterdir()))
        except OSError as error:
            raise BadInput(f"{clean(str(folder))}: {error.strerror}") from None
        if not empty:
            raise BadInput(f"{clean(str(folder))}: not empty; give --resume to continue it, or another name")


@dataclass(frozen=True, slots=True)
class _Batch:
    """The jobs of one launch, until their supervisors have started."""

    launcher: LocalLauncher
    store: JobStore
    leases: LockDir
    snapshot: Callable[[], GpuSnapshot]
    engine: Callable[[], EngineCopy]
    jobs: list[Job] = field(default_factory=list)
    held: list[tuple[Path, int]] = field(default_factory=list)
    """Folder and supervisor lock of each job."""
    undo: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)
    """Removes the submitted jobs if the launch fails."""

    def submit(self, spec: JobSpec, hold: bool = False) -> None:
        """Create the job under the queue's mutex: take its lock, create its folder, and write its ticket last."""
        launcher = self.launcher
        wants, allowed = resolve_request(spec, launcher.terms, self.snapshot)
        text = config_text(spec.kind, spec.request) if launcher.engine == ENGINE else None
        program = EngineCopy((), None) if spec.kind == "command" else self.engine()
        queue, user, terms = Queue(self.leases), process.user(), replace(launcher.terms, allowed=allowed)
        with self.leases.mutex():
            if spec.kind == "train" and (owner := claim(self.store, self.store.jobs(), spec.run)) is not None:
                raise BadInput(f"{spec.run}: just claimed by job {owner.id}; give another name")
            folder, lock = _new_folder(self.store, self.leases)
            self.held.append((folder, lock))
            self.undo.callback(shutil.rmtree, folder, ignore_errors=True)
            ticket = Ticket(spec.priority, queue.new_number(), folder.name, wants, user, spec.gpu_count, terms)
            spec = spec if text is None else replace(spec, request=keep_config(folder, spec.request, text))
            job = self._job(replace(spec, request=spec.argv), program, ticket, folder)
            environment.keep(folder, launcher.environment)
            on_end.keep(folder, launcher.on_end)
            if hold:
                admission.hold(folder, user)
                job = replace(job, state=State.HELD, waits=f"held by {user}")
            write_job(folder, job)
            if (reason := not_ours(folder, JOB)) is not None:  # a file system without owners or modes
                raise BadInput(f"{clean(str(folder))}: {clean(reason)}; put the runs folder on another file system")
            if not hold and not spec.after:  # otherwise its supervisor queues it later
                self.undo.callback(queue.withdraw, ticket.job)
                queue.put(ticket)
        self.jobs.append(job)

    def _job(self, spec: JobSpec, program: EngineCopy, ticket: Ticket, folder: Path) -> Job:
        return Job(
            id=ticket.job,
            spec=spec,
            state=State.QUEUED,
            created=time.time(),
            user=ticket.user,
            host=process.host(),
            boot=process.boot(),
            lease_dir=str(self.leases.path),
            lease_id=self.leases.identity(),
            folder=str(folder),
            ticket=ticket.name,
            wants=ticket.gpu,
            terms=ticket.terms,
            engine=program.command,
            source=program.source,
            cwd=str(Path.cwd()),
            grace=self.launcher.grace,
            cpu_slots=self.launcher.cpu_slots,
        )


def check_engine() -> None:
    """Raises BadInput if a package of the engine is not installed. Imports no package."""
    missing = [name for name in _ENGINE_NEEDS if importlib.util.find_spec(name) is None]
    if missing:
        raise BadInput(f"the engine is not installed ({missing[0]} is missing): pip install 'xray-tui[engine]'")


def _new_folder(store: JobStore, leases: LockDir) -> tuple[Path, int]:
    """Create a job folder with a new name; return it with the job's supervisor lock."""
    while True:
        name = f"{datetime.now():%y%m%d-%H%M%S}-{''.join(random.choices(_LETTERS, k=4))}"
        folder = store.folder(name)
        lock = file_lock.try_lock(leases.supervised(name))
        if lock is None:
            continue
        try:
            make_folder(folder)
        except FileExistsError:
            os.close(lock)
        except BaseException:
            os.close(lock)
            raise
        else:
            return folder, lock
