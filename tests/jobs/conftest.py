"""A place with a runs folder, a lock folder of its own and pretended GPUs, in which real jobs run."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.gpu.conftest import built  # noqa: F401 - the stand-in NVML, as a fixture of this room
from xray_tui.gpu.snapshot import GpuProcess, GpuSample, GpuSnapshot, to_json
from xray_tui.jobs.launch.launcher import LocalLauncher
from xray_tui.jobs.locks import file_lock
from xray_tui.jobs.locks.lock_dir import LockDir
from xray_tui.jobs.model.job import Job, JobSpec, Process, State
from xray_tui.jobs.queue.visible_gpus import VARIABLE
from xray_tui.jobs.storage.job_store import JobStore
from xray_tui.jobs.storage.saved_environment import Filter, own_environment
from xray_tui.jobs.supervise.recovery import recover_orphans
from xray_tui.system import process

HERE = Path(__file__).parent
ENGINE = (sys.executable, "-S", str(HERE / "programs.py"))
PATIENCE = 60.0


def eventually(holds: Callable[[], object], what: str = "") -> None:
    """Return as soon as it holds; fail when it does not within the patience of this room's tests."""
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline, f"never came: {what or holds}"
        time.sleep(0.02)


def is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def gpu(index: int, *processes: GpuProcess) -> GpuSample:
    return GpuSample(index, f"GPU-{index}", "Pretended", memory_used=0, processes=processes)


class Place:
    """Launches jobs and follows them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.runs = folder / "runs"
        self.runs.mkdir()
        self.leases = folder / "leases"
        self.gpus = folder / "gpus.json"
        self.store = JobStore(self.runs)
        self.supervisor = (sys.executable, "-P", str(HERE / "pretended.py"), str(self.gpus))
        self.have()

    def have(self, *gpus: GpuSample) -> None:
        """From now on these are the machine's GPUs."""
        self.snapshot = GpuSnapshot(gpus, problem=None if gpus else "No NVIDIA GPU here.")
        fresh = self.gpus.with_suffix(".new")
        fresh.write_text(json.dumps(to_json(self.snapshot)))
        fresh.rename(self.gpus)

    def launcher(self, **settings: object) -> LocalLauncher:
        given = {"grace": 0.3, **settings}
        return LocalLauncher(
            self.runs,
            lease_dir=str(self.leases),
            snapshot=lambda: self.snapshot,
            engine=ENGINE,
            supervisor=self.supervisor,
            **given,  # type: ignore[arg-type]
        )

    def launch(
        self, *argv: object, gpu: str = "none", run: str = "a", kind: str = "evaluate", **settings: object
    ) -> Job:
        return self.launcher(**settings).launch(JobSpec(kind, run, tuple(map(str, argv)), gpu))

    def job(self, job: Job) -> Job:
        return self.store.get(job.id)

    def look(self) -> list[Job]:
        return recover_orphans(self.store, self.supervisor)

    def until(self, job: Job, *states: State) -> Job:
        """The job as soon as it is in one of the states (default: ended)."""
        eventually(lambda: self.job(job).state in states if states else self.job(job).state.ended, f"{job.id} {states}")
        return self.job(job)

    def until_working(self, job: Job) -> Job:
        """The job once its engine has said something."""
        self.until(job, State.RUNNING)
        eventually(lambda: self.log(job), "a line in the log")
        return self.job(job)

    def until_waiting(self, job: Job, reason: str) -> None:
        eventually(lambda: self.job(job).waits == reason, f"{reason!r}, but {self.job(job).waits!r}")

    def log(self, job: Job) -> str:
        path = self.store.log(job.id)
        return path.read_text() if path.exists() else ""

    def until_supervised(self, job: Job) -> Process:
        """The job's supervisor."""
        eventually(lambda: self.job(job).supervisor, "the supervisor's pid")
        supervisor = self.job(job).supervisor
        assert supervisor is not None
        return supervisor

    def kill_supervisor(self, job: Job) -> None:
        supervisor = self.until_supervised(job)
        os.kill(supervisor.pid, signal.SIGKILL)
        lock = LockDir(self.leases).supervised(job.id)  # held by its last thread, which may outlive the first one
        eventually(
            lambda: (
                not process.is_alive(supervisor)
                and (not file_lock.is_held(lock) or self.job(job).supervisor != supervisor)  # or another has it already
            ),
            "the supervisor's end",
        )

    def clear(self) -> None:
        """Leave no process behind, also not of a supervisor that has only just begun."""
        live = LockDir(self.leases)
        for identity in [job.id for job in self.store.jobs()]:
            deadline = time.monotonic() + PATIENCE
            while time.monotonic() < deadline:
                job = self.store.get(identity)
                for found in (job.supervisor, job.process, *process.members(job.id)):
                    if found is not None:
                        process.send(found, signal.SIGKILL)
                if not (file_lock.is_held(live.supervised(identity)) or file_lock.is_held(live.runs(identity))):
                    break
                time.sleep(0.02)


@pytest.fixture(autouse=True)
def _plain_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    """The shell of a test has no variable that looks secret, of which a launch would have to say something."""
    for name in own_environment().keys() - Filter().environment().keys():
        monkeypatch.delenv(name)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    monkeypatch.delenv(VARIABLE, raising=False)
    place = Place(tmp_path)
    yield place
    place.clear()
