"""Many jobs on four GPUs while everything that can be killed is killed: nothing is given twice, lost or run twice."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from itertools import combinations
from pathlib import Path

import pytest

from engine.contract.errors import BadInput
from tests.jobs.conftest import HERE as JOBS_TESTS
from tests.jobs.conftest import Place, gpu
from xray_tui.gpu.snapshot import GpuProcess
from xray_tui.jobs.actions.queue_actions import hold, move, prioritise, release
from xray_tui.jobs.actions.resume import resume
from xray_tui.jobs.actions.stop import stop
from xray_tui.jobs.launch.launcher import LocalLauncher
from xray_tui.jobs.locks.lock_dir import LockDir
from xray_tui.jobs.model.gpu_policy import GpuPolicy
from xray_tui.jobs.model.job import Job, JobSpec, State
from xray_tui.jobs.queue.tickets import Queue
from xray_tui.system import process
from xray_tui.system.process import Process

HERE = Path(__file__).parent
LONG = bool(os.environ.get("XRAY_TUI_LONG"))
JOBS, SEEDS = (100, (1, 2)) if LONG else (50, (1,))
PATIENCE = 600.0 if LONG else 120.0
GPUS = range(4)


class Chaos:
    """Jobs, and all that is done to them."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.random = random.Random(seed)
        self.place = Place(folder)
        self.place.have(*map(gpu, GPUS))
        self.witness = folder / "witness"
        self.witness.mkdir()
        self.jobs: list[Job] = []
        self.disturbed: set[str] = set()
        """Jobs that were moved, held, killed or stopped, whose place in the order says nothing any more."""
        self.killed: dict[str, set[str]] = {}
        """What of each job was killed: "supervisor", "engine"."""
        self.alarms: list[threading.Timer] = []
        self.apps = [self._app(), self._app()]
        self.done: dict[str, int] = {}

    def launch(self) -> None:
        count = self.random.choices((1, 2, 3), (8, 2, 1))[0]
        slots = 2 if count == 1 and self.random.random() < 0.3 else 1
        argv = (str(self.witness), f"{self.random.uniform(0.05, 0.3):.2f}", str(slots))
        after = (self.random.choice(self.jobs).id,) if self.jobs and self.random.random() < 0.2 else ()
        priority = self.random.choices((50, 20, 80), (8, 1, 1))[0]
        run = f"run_{len(self.jobs)}"
        spec = JobSpec("train", run, argv, "auto", gpu_count=count, after=after, priority=priority)
        engine = (sys.executable, "-S", str(HERE / "chaos_engine.py"))
        supervisor = self.place.supervisor
        launcher = LocalLauncher(
            self.place.runs,
            str(self.place.leases),
            lambda: self.place.snapshot,
            engine,
            supervisor,
            grace=0.5,
            terms=GpuPolicy(slots=slots),
        )
        self.jobs.append(launcher.launch(spec))

    def act(self) -> None:
        """One thing that happens on a bad day."""
        acts = {
            self._kill_supervisor: 4,
            self._kill_engine: 1,
            self._pause: 3,
            self._order: 4,
            self._stop: 1,
            self._resume: 2,
            self._kill_app: 1,
            self._foreign: 1,
        }
        never = [act for act in acts if act.__name__ not in self.done]  # first each once, whatever the seed
        act = self.random.choice(never) if never else self.random.choices(list(acts), list(acts.values()))[0]
        self.done[act.__name__] = self.done.get(act.__name__, 0) + 1
        act()

    def calm(self) -> None:
        """From now on nothing happens any more."""
        for alarm in self.alarms:
            alarm.join()
        self.place.have(*map(gpu, GPUS))

    def release(self) -> list[Job]:
        """Let go what is held or blocked; all jobs that have not ended."""
        living = self.living()
        for job in living:
            if job.state in (State.HELD, State.BLOCKED):
                with suppress(BadInput):
                    release(self.place.store, job.id)
        return living

    def clear(self) -> None:
        for app in self.apps:
            app.kill()
            app.wait()
        for alarm in self.alarms:
            alarm.join()
        self.place.clear()

    def living(self) -> list[Job]:
        return [job for job in self.place.store.jobs() if not job.state.ended]

    def _app(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, str(HERE / "chaos_app.py"), str(self.place.runs), *self.place.supervisor]
        )

    def _some(self, what: str) -> tuple[Job, Process] | None:
        found = [(job, getattr(job, what)) for job in self.living() if getattr(job, what) is not None]
        return self.random.choice(found) if found else None

    def _kill_supervisor(self) -> None:
        if (found := self._some("supervisor")) is not None and process.send(found[1], signal.SIGKILL):
            self._note(found[0], "supervisor")

    def _kill_engine(self) -> None:
        if (found := self._some("process")) is not None and process.send(found[1], signal.SIGKILL):
            self._note(found[0], "engine")

    def _note(self, job: Job, what: str) -> None:
        self.disturbed.add(job.id)
        self.killed.setdefault(job.id, set()).add(what)

    def _pause(self) -> None:
        found = self._some(self.random.choice(("supervisor", "process")))
        if found is not None and process.send(found[1], signal.SIGSTOP):
            self.disturbed.add(found[0].id)
            # By a thread: this one may be waiting for what the sleeper holds.
            alarm = threading.Timer(self.random.uniform(0.1, 0.6), process.send, (found[1], signal.SIGCONT))
            alarm.start()
            self.alarms.append(alarm)

    def _stop(self) -> None:
        if living := self.living():
            job = self.random.choice(living)
            self._note(job, "stopped")
            with suppress(BadInput):  # it has ended meanwhile
                stop(self.place.store, job.id, supervisor=self.place.supervisor)

    def _resume(self) -> None:
        ended = [job for job in self.place.store.jobs() if job.state.ended and job.state is not State.SUCCEEDED]
        if ended:
            job = self.random.choice(ended)
            self.disturbed.add(job.id)
            with suppress(BadInput):  # the mutex is held by somebody who is paused
                resume(self.place.store, job.id, self.place.supervisor)

    def _order(self) -> None:
        waiting = [job for job in self.living() if job.state.waiting]
        if not waiting:
            return
        job, store = self.random.choice(waiting), self.place.store
        order = self.random.choice((
            lambda: move(store, job.id, self.random.choice((-1, 1))),
            lambda: prioritise(store, job.id, self.random.choice((40, 50, 60))),
            lambda: hold(store, job.id),
            lambda: release(store, job.id),
        ))  # fmt: skip
        before = self._places()
        with suppress(BadInput):  # it has begun meanwhile, the mutex is held by somebody who is paused …
            order()
        after = self._places()
        moved = {job for job in before.keys() & after.keys() if before[job] != after[job]}
        self.disturbed |= {job.id} | moved

    def _places(self) -> dict[str, str]:
        return {ticket.job: ticket.name for ticket in Queue(LockDir(self.place.leases)).waiting()}

    def _kill_app(self) -> None:
        place = self.random.randrange(len(self.apps))
        self.apps[place].kill()
        self.apps[place].wait()
        self.apps[place] = self._app()

    def _foreign(self) -> None:
        taken = self.random.sample(GPUS, self.random.randrange(3))
        self.place.have(*(gpu(i, *([GpuProcess(1, "C", user="eve")] if i in taken else ())) for i in GPUS))


@pytest.fixture(params=SEEDS)
def chaos(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Chaos]:
    chaos = Chaos(tmp_path, request.param)
    yield chaos
    chaos.clear()


def test_no_gpu_is_held_twice_and_no_job_is_lost_or_run_twice(chaos: Chaos) -> None:
    deadline = time.monotonic() + PATIENCE
    while len(chaos.jobs) < JOBS:
        chaos.launch()
        if len(chaos.jobs) % 2:
            chaos.act()
    while chaos.living() and time.monotonic() < deadline - PATIENCE / 2:
        chaos.act()
        time.sleep(0.05)
        if sum(chaos.done.values()) > 3 * JOBS:
            break
    chaos.calm()
    while left := chaos.release():
        assert time.monotonic() < deadline, f"never ended: {[(job.id, job.state, job.waits) for job in left]}"
        time.sleep(0.1)

    ends = {job.id: job for job in chaos.place.store.jobs()}
    assert ends.keys() == {job.id for job in chaos.jobs}, "every job is there, and none besides"
    starts = [line.split() for line in (chaos.witness / "starts").read_text().splitlines()]
    assert [words for words in starts if words[0] == "TWICE"] == [], "a GPU was held twice"
    begun = Counter(words[1] for words in starts)
    for job in ends.values():
        harm = chaos.killed.get(job.id, set())
        assert begun[job.id] <= job.attempt, "a job was run twice"
        if job.state is State.SUCCEEDED:
            assert job.id in begun
        elif job.state is State.LOST:
            assert harm >= {"supervisor", "engine"}, f"{job.id}: {job.cause}"
        elif job.state is State.STOPPED:
            assert "stopped" in harm, f"{job.id}: {job.cause}"
        else:
            assert job.state is State.FAILED
            assert job.cause
            assert "engine" in harm, f"{job.id}: {job.cause}"
    _check_order(chaos)
    assert len(chaos.disturbed) < len(chaos.jobs)
    assert Queue(LockDir(chaos.place.leases)).waiting() == [], "no ticket is left"


def _check_order(chaos: Chaos) -> None:
    """Of jobs with a GPU of their own that nobody touched, none began long before another that stood before it. Not at
    once: each looks now and then, and leaves the others what is theirs."""
    calm = [job for job in chaos.place.store.jobs() if job.id not in chaos.disturbed and not job.spec.after]
    calm = [job for job in calm if job.spec.gpu_count == job.terms.slots == 1]
    for earlier, later in combinations(sorted(calm, key=lambda job: job.ticket), 2):
        if None not in (earlier.started, later.started) and earlier.created < later.started - 2.0:
            assert later.started > earlier.started - 2.0


def test_a_resumed_job_is_run_once_more_and_only_once(chaos: Chaos) -> None:
    """Not part of the storm: what resume promises under two apps that look all the time."""
    chaos.launch()
    engine = (sys.executable, "-S", str(JOBS_TESTS / "programs.py"))
    launcher = LocalLauncher(
        chaos.place.runs, str(chaos.place.leases), lambda: chaos.place.snapshot, engine, chaos.place.supervisor
    )
    training = launcher.launch(JobSpec("train", "t", ("without_record",)))
    chaos.place.until(training)
    resume(chaos.place.store, training.id, chaos.place.supervisor)
    ended = chaos.place.until(training)
    assert (ended.state, ended.attempt) == (State.FAILED, 2)
    assert chaos.place.log(training).count("all is well") == 2
