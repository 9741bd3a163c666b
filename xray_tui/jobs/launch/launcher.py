"""Launch a job on this machine: checked, queued and detached within milliseconds, whatever becomes of the caller."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import random
import re
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cache
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from engine.contract.errors import BadInput
from engine.contract.names import JOB, JOBS, run_path
from engine.contract.text import clean
from xray_tui.gpu.snapshot import GpuSnapshot
from xray_tui.jobs.launch.freeze import EngineCopy, freeze_engine
from xray_tui.jobs.launch.frozen_config import config_text, keep_config
from xray_tui.jobs.launch.program import check_program
from xray_tui.jobs.launch.sweep import evaluation_of
from xray_tui.jobs.locks import file_lock
from xray_tui.jobs.locks.lock_dir import LeaseDir, find_lease_dir
from xray_tui.jobs.model.gpu_policy import Terms, terms_of
from xray_tui.jobs.model.job import CPU_SLOTS, GRACE, KINDS, Job, JobSpec, State, write_job
from xray_tui.jobs.queue import admission
from xray_tui.jobs.queue.tickets import Queue, Ticket
from xray_tui.jobs.queue.visible_gpus import find_gpu, limit_of_shell
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
"""-P: a folder named engine where one happens to stand is not ours."""

_ENGINE_NEEDS = ("torch", "torchvision", "segmentation_models_pytorch", "numpy", "PIL")
_LETTERS = "bcdfghjkmnpqrstvwxz23456789"
"""Neither vowels nor what can be taken for another."""


class EngineMissing(BadInput):
    """The engine's packages are not installed here."""


@dataclass(frozen=True, slots=True)
class LocalLauncher:
    """Launches jobs for a runs folder on this machine."""

    runs: Path
    lease_dir: Path | str | None = None
    """The folder of the GPU locks; None: as find_lease_dir finds it."""
    snapshot: Callable[[], GpuSnapshot] | None = None
    """The GPUs as last seen, asked only where the job, the settings or $CUDA_VISIBLE_DEVICES name GPUs; None:
    one sample, which may take a second."""
    engine: tuple[str, ...] = ENGINE
    supervisor: tuple[str, ...] = detach.SUPERVISOR
    grace: float = GRACE
    cpu_slots: int = CPU_SLOTS
    terms: Terms = Terms()  # noqa: RUF009 - frozen
    """`allowed` may name GPUs by index as well."""
    on_end: tuple[str, ...] = ()
    """A command for the end of the job; it is kept with it."""
    environment: Filter = Filter()  # noqa: RUF009 - frozen
    """Which of this process's variables the job gets."""

    @classmethod
    def of(cls, settings: Settings, runs: Path) -> LocalLauncher:
        """As the user's settings have it. Raises BadInput where they make no sense."""
        given = Filter.of(settings)
        return cls(runs, settings.lease_dir, terms=terms_of(settings), on_end=settings.on_end, environment=given)

    def launch(self, spec: JobSpec, hold: bool = False) -> Job:
        """As launch_all, of one job."""
        return self.launch_all([spec], hold=hold)[0]

    def launch_all(self, specs: Sequence[JobSpec], evaluate: bool = False, hold: bool = False) -> list[Job]:
        """Queue the jobs, each training with its evaluation after it if `evaluate`, or keep them waiting (`hold`), and
        start their supervisors, detached. Returns the waiting jobs.

        Raises BadInput or EngineMissing, and then nothing was launched.
        """
        specs = [replace(spec, run=run_path(spec.run)) for spec in specs]
        store, snapshot = JobStore(self.runs), cache(self.snapshot or _sample)
        for spec in specs:
            self.check(spec, store, snapshot)
        leases = find_lease_dir(self.lease_dir)
        batch = _Batch(self, store, leases, Queue(leases), snapshot, cache(self._freeze_engine))
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

    def _freeze_engine(self) -> EngineCopy:
        return freeze_engine(self.runs.absolute() / JOBS) if self.engine == ENGINE else EngineCopy(self.engine, None)

    def check(self, spec: JobSpec, store: JobStore, snapshot: Callable[[], GpuSnapshot]) -> None:
        """Raises BadInput or EngineMissing for a job that could not be launched now, as far as files can tell."""
        check_spec(spec)
        if not self.runs.absolute().parent.is_dir():
            raise BadInput(f"{clean(str(self.runs))}: no such folder; a runs folder is made only where its parent is")
        if self.engine == ENGINE and spec.kind != "command":
            check_engine()
        if spec.kind == "command":
            check_program(spec.argv, Path.cwd(), self.environment.environment())
        for identity in spec.after:
            store.get(identity)
        self._check_free(store, spec)
        gpus_for(spec, self.terms, snapshot)

    def _check_free(self, store: JobStore, spec: JobSpec) -> None:
        if spec.kind != "train":
            return
        if (has := claim(store, store.jobs(), spec.run)) is not None:
            has = claim(store, recover_orphans(store, self.supervisor), spec.run)  # it may have been lost unseen
        if has is not None:
            raise BadInput(f"{spec.run}: claimed by job {has.id} ({has.state}); stop that, or give another name")
        if spec.resumes:
            return
        folder = self.runs / spec.run
        try:
            empty = not folder.exists() or (folder.is_dir() and not any(folder.iterdir()))
        except OSError as error:
            raise BadInput(f"{clean(str(folder))}: {error.strerror}") from None
        if not empty:
            raise BadInput(f"{clean(str(folder))}: not empty; give --resume to go on with it, or another name")


@dataclass(frozen=True, slots=True)
class _Batch:
    """The jobs of one launch, on their way into the queue."""

    launcher: LocalLauncher
    store: JobStore
    leases: LeaseDir
    queue: Queue
    snapshot: Callable[[], GpuSnapshot]
    engine: Callable[[], EngineCopy]
    jobs: list[Job] = field(default_factory=list)
    held: list[tuple[Path, int]] = field(default_factory=list)
    """The folder and the `.sup` lock of each job."""
    undo: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)
    """Removes the jobs again."""

    def submit(self, spec: JobSpec, hold: bool = False) -> None:
        """Under the mutex: the number, job.json, the ticket last. The job's lock is held from before it can be seen."""
        launcher = self.launcher
        wants, allowed = gpus_for(spec, launcher.terms, self.snapshot)
        text = config_text(spec.kind, spec.request) if launcher.engine == ENGINE else None
        program = EngineCopy((), None) if spec.kind == "command" else self.engine()
        with self.leases.mutex():
            if spec.kind == "train" and (has := claim(self.store, self.store.jobs(), spec.run)) is not None:
                raise BadInput(f"{spec.run}: claimed by job {has.id} at this moment; give another name")
            folder, lock = _new_folder(self.store, self.leases)
            self.held.append((folder, lock))
            self.undo.callback(shutil.rmtree, folder, ignore_errors=True)
            number, user, terms = self.queue.new_number(), process.user(), replace(launcher.terms, allowed=allowed)
            ticket = Ticket(spec.priority, number, folder.name, wants, user, spec.gpu_count, terms)
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
            if not hold and not spec.after:  # else its supervisor queues it when its time has come
                self.undo.callback(self.queue.withdraw, ticket.job)
                self.queue.put(ticket)
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


def check_spec(spec: JobSpec) -> None:
    """Raises BadInput in one line for what can be seen to be wrong."""
    if spec.kind not in KINDS:
        raise BadInput(f"{clean(spec.kind)}: unknown kind of job; give {', '.join(KINDS)}")
    if (problem := run_problem(spec.run)) is not None:
        raise BadInput(": ".join(filter(None, ("run", clean(spec.run)[:120], problem))))
    if not 0 <= spec.priority <= 99:
        raise BadInput(f"priority: {spec.priority}: give 0 (served first) to 99")
    if spec.gpu_count < 1:
        raise BadInput(f"gpus: {spec.gpu_count}: give 1 or more; a job without a GPU has gpu none")
    if spec.gpu_count > 1 and spec.gpu != "auto":
        raise BadInput(f"gpus: {spec.gpu_count} goes with gpu auto; name several GPUs as in 0,1 instead")
    if (spec.gpu_count > 1 or "," in spec.gpu) and spec.kind in ("evaluate", "blend"):
        raise BadInput(f"gpus: {spec.kind} uses one GPU; only a training or a command takes several")
    if spec.kind == "command" and not spec.argv:
        raise BadInput("command: which program? Give it after --")
    for argument in spec.argv:
        if "\0" in argument or argument != argument.encode(errors="replace").decode():
            raise BadInput(f"{clean(argument)[:80]}: an argument must be UTF-8 text without NUL")


def run_problem(run: str) -> str | None:
    """Why a run name is no plain relative path, in words."""
    parts = PurePosixPath(run).parts
    if not parts:
        return "empty; give a name such as unet_a"
    if run != clean(run):
        return "holds a control character; give letters, digits, - and _"
    if run.startswith("/") or ".." in parts:
        return "leads out of the runs folder; give a name below it, such as unet_a"
    if any(part.startswith(".") for part in parts):
        return "begins with a dot, and hidden folders are not looked into; give another name"
    if any(len(part.encode()) > 255 for part in parts):
        return "longer than 255 bytes; give a shorter name"
    return None


def check_engine() -> None:
    """Raises EngineMissing where the engine's packages are not there. Imports none of them."""
    missing = [name for name in _ENGINE_NEEDS if importlib.util.find_spec(name) is None]
    if missing:
        raise EngineMissing(f"the engine is not installed ({missing[0]} is missing): pip install 'xray-tui[engine]'")


def gpus_for(spec: JobSpec, terms: Terms, snapshot: Callable[[], GpuSnapshot]) -> tuple[str, tuple[str, ...]]:
    """(the job's gpu with UUIDs, the UUIDs of the GPUs that "auto" may take; empty: all).

    Both within $CUDA_VISIBLE_DEVICES of this process. Raises BadInput in one line where that leaves the job no GPU, or
    fewer than it needs.
    """
    wants = resolve_gpu(spec.gpu, snapshot)
    allowed = tuple(resolve_gpu(gpu, snapshot) for gpu in terms.allowed) if wants == "auto" else ()
    limit = None if wants == "none" else limit_of_shell(snapshot)
    if limit is not None:
        named = allowed if wants == "auto" else tuple(wants.split(","))
        within = tuple(uuid for uuid in named or limit.uuids if uuid in limit.uuids)
        if not limit.gpus:
            raise BadInput(f"gpu: {limit.words}; give --gpu none, or unset the variable")
        if wants != "auto" and within != named:
            raise BadInput(f"gpu: {clean(spec.gpu)}: not available: {limit.words}")
        if not within:
            raise BadInput(f"gpu: {limit.words}, and the settings' gpus are others; give --gpu, or change one of them")
        allowed = within if wants == "auto" else ()
    if spec.gpu_count > 1:
        check_count(spec.gpu_count, len(allowed) or len(snapshot().gpus))
    return wants, allowed


def resolve_gpu(gpu: str, snapshot: Callable[[], GpuSnapshot]) -> str:
    """ "auto", "none", or the UUIDs, with commas between, of the GPUs that are asked for by index, UUID or the start of
    a UUID. BadInput for others."""
    if gpu in ("auto", "none"):
        return gpu
    named = gpu.split(",")
    for one in named:
        if not re.fullmatch(r"\d{1,3}|GPU-[0-9A-Za-z-]{1,64}", one):
            raise BadInput(f"gpu: {clean(one)[:40]}: give auto, none, indices such as 0 or 0,1, or UUIDs such as GPU-…")
    seen = snapshot()
    known = {str(sample.index): sample.uuid for sample in seen.gpus if sample.uuid}
    found = []
    for one in named:
        sample = find_gpu(one, seen.gpus)
        if sample is None:
            if not known:
                raise BadInput(f"gpu: {one}: no such GPU: {clean(seen.problem or 'none is in sight')}")
            if any(uuid.startswith(one) for uuid in known.values()):
                raise BadInput(f"gpu: {one}: several UUIDs begin so; give more of the UUID")
            raise BadInput(f"gpu: {one}: no such GPU; there are {', '.join(known)}, auto and none")
        found.append(sample.uuid)
    if len(set(found)) < len(found):
        raise BadInput(f"gpu: {clean(gpu)}: names a GPU twice")
    return ",".join(found)


def check_count(count: int, available: int) -> None:
    """Raises BadInput where a job could never have so many GPUs."""
    if count > available:
        there = "there is no GPU" if not available else f"there {'is' if available == 1 else 'are'} only {available}"
        raise BadInput(f"gpus: {count}: {there}")


def _new_folder(store: JobStore, found: LeaseDir) -> tuple[Path, int]:
    """A job folder of a new name, and the job's `.sup` lock."""
    while True:
        letters = "".join(random.choices(_LETTERS, k=4))
        name = f"{datetime.now():%y%m%d-%H%M%S}-{letters}"
        folder = store.folder(name)
        held = file_lock.try_lock(found.supervised(name))
        if held is None:
            continue
        try:
            make_folder(folder)
        except FileExistsError:
            os.close(held)
        except BaseException:
            os.close(held)
            raise
        else:
            return folder, held


def _sample() -> GpuSnapshot:
    from xray_tui.gpu.sampler import sample_once

    return sample_once()
