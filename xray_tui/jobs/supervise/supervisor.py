"""The supervisor of a job: waits until the job may start, runs its engine and records its end.

`python -m xray_tui.jobs.supervise.supervisor JOB_FOLDER LOCK …`.

LOCK is the inherited descriptor of the job's supervisor lock (`.sup`), held until the end; only its holder writes
job.json. If a supervisor is killed, the engine keeps its locks and `recovery.recover_orphans` starts another one.
Imports stay small because hundreds of supervisors may wait at once.
"""

from __future__ import annotations

import contextlib
import gc
import os
import random
import resource
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from setproctitle import setproctitle

from engine.contract.names import JOB
from engine.contract.text import clean
from xray_tui.gpu.snapshot import GpuSnapshot
from xray_tui.jobs.locks import file_lock
from xray_tui.jobs.locks.lock_dir import LockDir
from xray_tui.jobs.model.job import State, write_job
from xray_tui.jobs.queue import admission
from xray_tui.jobs.queue.admission import Blocked
from xray_tui.jobs.queue.allocation import Wait
from xray_tui.jobs.queue.entry import Entry
from xray_tui.jobs.queue.scheduler import Scheduler, Turn
from xray_tui.jobs.queue.tickets import Queue, Ticket
from xray_tui.jobs.storage import saved_environment
from xray_tui.jobs.storage.job_store import JobStore, read_job
from xray_tui.jobs.supervise import detach, end_hook, engine_process
from xray_tui.jobs.supervise.outcome import conclude, stopped_by
from xray_tui.jobs.supervise.signals import Wakeups
from xray_tui.system import process
from xray_tui.system.cgroups import oom_kills
from xray_tui.system.safe_files import not_ours

POLL = 1.0
"""Poll interval of a waiting job in seconds, before jitter."""
FAR_BACK = 5
"""Longest poll interval as a multiple of POLL; jobs far back in the queue poll less often."""
FOREIGN_POLL = 5.0
"""Poll interval in seconds while foreign processes use the GPUs: each poll starts a process that samples the GPUs."""
KILL_PAUSES = (0.05, 5.0)
"""First and longest pause in seconds between two SIGKILLs; the pause doubles each time."""
HANGS = "the engine ignores SIGKILL: it hangs in the kernel (state D)"
ADOPTED = "its first supervisor was killed; a new one has taken over"
JUDGE_EVERY = 120.0
"""Interval in seconds at which a job that waits for others recovers those whose supervisor died."""
TOUCH_EVERY = 24 * 3600.0
"""Interval in seconds for touching the lock files, so that no cleaner deletes them as old."""
WRITE_TRIES = 60
"""Attempts, one per second, to write the end of the job to a full disk."""


class Supervisor:
    """Supervises one job from its ticket to its end."""

    def __init__(self, folder: Path, lock: int, snapshot: Callable[[], GpuSnapshot]) -> None:
        if (reason := not_ours(folder, JOB)) is not None:
            raise PermissionError(reason)
        os.set_inheritable(lock, False)
        self._folder = folder
        self._snapshot = snapshot
        self._wakeups = Wakeups()
        self._job = read_job(folder)
        self._dir = LockDir(Path(self._job.lease_dir))
        self._queue = Queue(self._dir)
        self._store = JobStore(folder.parent.parent, states_only=True)
        self._judged = time.monotonic()
        self._touched = time.monotonic()
        self._unwritten = False
        """Whether job.json is out of date because it could not be written."""
        self._relocked: list[int] = []
        """GPU locks taken again after their lock file was removed; see `_keep_locks`."""

    def run(self) -> None:
        """Supervise the job from its recorded state to its end."""
        setproctitle(f"xray-tui job {self._job.spec.run} ({self._job.user})")  # for other users of the server
        if self._job.state.waiting:
            self._record(supervisor=process.identify(os.getpid()), note=None)
            if (turn := self._wait_for_turn()) is not None:
                self._run_engine(turn)
        elif self._job.state is State.RUNNING:
            self._record(supervisor=process.identify(os.getpid()), note=ADOPTED)
            self._attend(engine_process.Adopted(self._job, self._dir.runs(self._job.id)))

    def _wait_for_turn(self) -> Turn | None:
        """Poll until the job may start; None if it was stopped or its folder was removed before that."""
        scheduler = Scheduler(self._dir, self._snapshot)
        entry = Entry(self._folder, self._store, self._queue, self._dir)
        while (by := self._stopped_by()) is None:
            try:
                if not (self._folder / JOB).exists():
                    self._withdraw()
                    return None
                self._judge_others()
                if (blocked := entry.check(self._job)) is not None and not blocked.allowed_gpus:
                    self._stay_out(blocked)
                    continue
                answer = scheduler.try_start(self._job, self._folder, lambda: entry.check(self._job))
            except OSError as error:  # a busy mutex or a full disk: retry, but less often for a full disk
                answer = Wait(clean(error.strerror or str(error)), foreign=not isinstance(error, file_lock.Busy))
            if isinstance(answer, Turn):
                self._job = answer.job
                return answer
            self._note_wait(answer.reason, scheduler.ticket)
            self._touch()
            pause = FOREIGN_POLL if answer.foreign else POLL * min(FAR_BACK, 1 + answer.before / 10)
            self._wakeups.sleep(pause * random.uniform(0.8, 1.2))
        self._withdraw()
        self._end(State.STOPPED, f"stopped by {by}", None)
        return None

    def _note_wait(self, reason: str, ticket: Ticket | None, state: State = State.QUEUED) -> None:
        """Record why the job waits, and its ticket, which its owner may have moved."""
        name = self._job.ticket if ticket is None else ticket.name
        if (reason, state, name) == (self._job.waits, self._job.state, self._job.ticket):
            return
        spec = self._job.spec if ticket is None else replace(self._job.spec, priority=ticket.priority)
        self._record(waits=reason, state=state, ticket=name, spec=spec)

    def _judge_others(self) -> None:
        """If this job waits for others, recover jobs whose supervisor died, because perhaps no app is open to do so."""
        waits_for_others = self._job.spec.after or self._job.terms.max_gpus is not None
        if waits_for_others and time.monotonic() - self._judged >= JUDGE_EVERY:
            from xray_tui.jobs.supervise.recovery import recover_orphans

            self._judged = time.monotonic()
            recover_orphans(self._store, detach.SUPERVISOR)

    def _stay_out(self, blocked: Blocked) -> None:
        """Leave the queue, record why, and sleep. job.json keeps the place to which the owner has moved the job."""
        if self._queue.has(self._job) or admission.kept_place(self._folder) is not None:
            with self._dir.mutex():  # the owner cannot move the job between these steps
                self._note_wait(blocked.reason, self._queue.ticket_for(self._job, self._folder), blocked.state)
                self._withdraw()
                admission.forget_place(self._folder)
        else:
            self._note_wait(blocked.reason, None, blocked.state)
        self._touch()
        self._wakeups.sleep(blocked.polls * POLL * random.uniform(0.8, 1.2))

    def _withdraw(self) -> None:
        with contextlib.suppress(OSError):  # a ticket without a supervisor is ignored anyway
            self._queue.withdraw(self._job.id)

    def _run_engine(self, turn: Turn) -> None:
        try:
            started = engine_process.start(self._job, self._folder, turn.locks)
        except (OSError, ValueError) as error:
            self._end(State.FAILED, f"could not be started: {clean(engine_process.start_failure(error))}", None)
            return
        self._record(state=State.RUNNING, process=process.identify(started.pid))
        saved_environment.forget(self._folder)
        self._attend(engine_process.Child(started))

    def _attend(self, engine: engine_process.Engine) -> None:
        """Wait until the engine has ended, kill the processes that it left, and record the outcome."""
        kills = oom_kills()
        self._wait_for_end(engine)
        oom_killed = kills is not None and (oom_kills() or 0) > kills
        cleared = engine_process.clear_away(self._job.id, engine.group)
        status = engine.status
        job = conclude(self._job, self._folder, status, self._stopped_by(), cleared, oom_killed)
        if job.peak_memory is None and status is not None:
            job = replace(job, peak_memory=resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024)
        self._job = job
        self._end(job.state, job.cause, job.exit_code)

    def _wait_for_end(self, engine: engine_process.Engine) -> None:
        """Wait until the engine has ended. A stop order sends SIGTERM and, after the grace period, SIGKILL."""
        kill_at: float | None = None
        kill_pause, longest_pause = KILL_PAUSES
        note, hangs = self._job.note, None
        while not engine.has_ended():
            now = time.monotonic()
            if kill_at is None and self._stopped_by() is not None:
                engine.signal(signal.SIGTERM)
                kill_at = now + self._job.grace
            elif kill_at is not None and now >= kill_at:
                engine.signal(signal.SIGKILL)
                kill_at, kill_pause = now + kill_pause, min(2 * kill_pause, longest_pause)
                hangs = HANGS if kill_pause > 1.0 and self._hangs_in_kernel(engine) else None
            if (hangs or note) != self._job.note:
                self._record(note=hangs or note)
            if self._unwritten:
                self._record()
            self._keep_locks()
            self._touch()
            pause = engine.poll if kill_at is None else max(0.05, min(engine.poll, kill_at - now))
            self._wakeups.sleep(pause)

    def _hangs_in_kernel(self, engine: engine_process.Engine) -> bool:
        members = [*process.members(self._job.id, engine.group), *filter(None, [self._job.process])]
        return any(process.hangs_in_kernel(member.pid) for member in members)

    def _keep_locks(self) -> None:
        """Lock each GPU again if its lock file was replaced, because the engine's lock on the removed file protects
        nothing. Slots are skipped because job.json does not record them."""
        for uuid in () if self._job.terms.slots > 1 else self._job.gpus:
            path = self._dir.gpu(uuid)
            with contextlib.suppress(OSError):
                if not file_lock.is_held(path) and (lock := file_lock.try_lock(path)) is not None:
                    self._relocked.append(lock)

    def _stopped_by(self) -> str | None:
        """The user or signal that asked for a stop; None if there is no stop order."""
        by = stopped_by(self._job, self._folder)
        return "a SIGTERM to its supervisor" if by is None and self._wakeups.terminated else by

    def _end(self, state: State, cause: str | None, code: int | None) -> None:
        saved_environment.forget(self._folder)
        self._record(state=state, cause=cause, exit_code=code, ended=time.time(), waits=None, note=None, final=True)
        end_hook.start(self._folder)

    def _record(self, *, final: bool = False, **changes: Any) -> None:
        """Change job.json. If it cannot be written, the final record is retried for a minute; other changes are
        written with the next record."""
        self._job = replace(self._job, **changes)
        for _ in range(WRITE_TRIES if final else 1):
            try:
                write_job(self._folder, self._job)
                self._unwritten = False
                return
            except FileNotFoundError:
                return  # the job's folder was removed
            except OSError:
                self._unwritten = True
                if final:
                    time.sleep(1.0)

    def _touch(self) -> None:
        if time.monotonic() - self._touched >= TOUCH_EVERY:
            self._touched = time.monotonic()
            self._dir.touch(self._job.id, self._job.gpus)


def main(arguments: Sequence[str], snapshot: Callable[[], GpuSnapshot] | None = None) -> int:
    """Supervise jobs; the arguments are the folder and the descriptor of the supervisor lock of each job. The
    supervisors of several jobs are forked from this process, which then exits, so that they share module memory."""
    jobs = [(Path(folder), int(lock)) for folder, lock in zip(arguments[::2], arguments[1::2], strict=True)]
    folder, lock = jobs[0] if len(jobs) == 1 else _fork(jobs)
    with contextlib.suppress(OSError):  # warnings of libraries and helper processes are not failures
        os.truncate(folder / detach.WORDS, 0)
        with (folder / detach.STDERR).open("ab") as stderr:
            os.dup2(stderr.fileno(), 2)
    try:
        Supervisor(folder, lock, snapshot or _sample).run()
    except BaseException as error:
        import traceback

        with contextlib.suppress(OSError):
            (folder / detach.WORDS).write_text("".join(traceback.format_exception(error)), "utf-8", "backslashreplace")
        raise
    return 0


def _fork(jobs: Sequence[tuple[Path, int]]) -> tuple[Path, int]:
    """Fork one process per job and return its job there. The calling process exits."""
    gc.collect()
    gc.freeze()  # a later collection would write to the shared pages and so copy them
    for own in jobs:
        if os.fork() == 0:
            for other in jobs:
                if other != own:
                    os.close(other[1])
            return own
    sys.exit(0)


def _sample() -> GpuSnapshot:
    from xray_tui.gpu.sampler import sample_once

    return sample_once()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
