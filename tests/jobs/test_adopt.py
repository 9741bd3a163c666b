"""An engine whose supervisor was killed: whoever looks gives it another one, which takes it to its end."""

from __future__ import annotations

import json
import signal
from pathlib import Path

from xray_tui.jobs.actions.stop import stop
from xray_tui.jobs.locks import file_lock
from xray_tui.jobs.locks.lock_dir import LockDir
from xray_tui.jobs.model.job import Job, JobSpec, State
from xray_tui.jobs.supervise.supervisor import ADOPTED
from xray_tui.system import process

from .conftest import Place, eventually, gpu, is_alive


def adopted(place: Place, job: Job) -> Job:
    """The running job, its supervisor killed and another in its place."""
    place.kill_supervisor(job)
    place.look()
    eventually(lambda: place.job(job).note == ADOPTED, "another supervisor")
    return place.job(job)


def test_an_adopted_engine_ends_as_it_would_have_and_nobody_has_to_look_again(place: Place, tmp_path: Path) -> None:
    place.have(gpu(0))
    told = tmp_path / "told"
    job = place.until_working(
        place.launch("until", tmp_path / "go", gpu="auto", on_end=("sh", "-c", f'echo "$XRAY_JOB_STATE" > {told}'))
    )
    child = place.launcher().launch(JobSpec("evaluate", "b", ("succeed",), "none", after=(job.id,)))
    before = place.job(job).process
    job = adopted(place, job)
    assert (job.state, job.process, job.gpus) == (State.RUNNING, before, ("GPU-0",))
    (tmp_path / "go").touch()
    job = place.until(job)
    assert (job.state, job.cause, job.note) == (State.SUCCEEDED, None, None)
    assert job.peak_memory == 5 << 20, "from its end record"
    assert place.until(child).state is State.SUCCEEDED
    eventually(lambda: told.exists() and told.read_text() == "succeeded\n", "the command of on_end")


def test_it_can_be_adopted_again_and_again(place: Place, tmp_path: Path) -> None:
    job = place.until_working(place.launch("until", tmp_path / "go"))
    seen = {adopted(place, job).supervisor for _ in range(3)}
    assert len(seen) == 3
    (tmp_path / "go").touch()
    assert place.until(job).state is State.SUCCEEDED
    assert place.log(job).count("working") == 1


def test_an_adopted_engine_is_stopped_with_all_that_it_started(place: Place) -> None:
    pids = place.folder / "pids"
    job = place.launch("stubborn", pids)
    eventually(pids.exists)
    job = adopted(place, place.until(job, State.RUNNING))
    stop(place.store, job.id, "alice", place.supervisor)
    job = place.until(job)
    assert (job.state, job.cause) == (State.STOPPED, "stopped by alice, without an end record")
    assert [pid for pid in json.loads(pids.read_text()) if is_alive(pid)] == []


def test_an_adopted_engine_that_is_killed_is_lost_at_once(place: Place) -> None:
    job = adopted(place, place.until_working(place.launch("until", place.folder / "never")))
    assert job.process is not None
    process.send(job.process, signal.SIGKILL)
    job = place.until(job)
    assert (job.state, job.cause) == (State.LOST, "its supervisor and its engine died without an end record")


def test_the_exit_status_of_an_adopted_command_is_nobodys_to_know(place: Place, tmp_path: Path) -> None:
    script = f"echo begun; while [ ! -e {tmp_path}/go ]; do sleep 0.05; done"
    job = place.until_working(place.launcher().launch(JobSpec("command", "script", ("sh", "-c", script), "none")))
    adopted(place, job)
    (tmp_path / "go").touch()
    job = place.until(job)
    assert job.state is State.LOST
    assert job.cause == "its supervisor was killed first, so its exit status is unknown"


def test_who_fails_to_adopt_an_engine_leaves_it_for_a_stop(place: Place) -> None:
    job = place.until_working(place.launch("until", place.folder / "never"))
    place.kill_supervisor(job)
    (place.store.folder(job.id) / "supervisor.txt").write_text("MemoryError\n")
    place.look()
    assert not file_lock.is_held(LockDir(place.leases).supervised(job.id))
    stop(place.store, job.id, "alice", place.supervisor)
    assert place.until(job).cause == "stopped by alice"
