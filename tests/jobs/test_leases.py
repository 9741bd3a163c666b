"""GPUs among jobs: nobody gets one that is taken, in the order of the tickets, whatever dies."""

from __future__ import annotations

import errno
import os
import random
import shutil
import signal
import threading
import time
from pathlib import Path

import pytest

from xray_tui.gpu.snapshot import GpuProcess
from xray_tui.jobs.locks import file_lock
from xray_tui.jobs.locks.lock_dir import LockDir
from xray_tui.jobs.model.job import Job, State
from xray_tui.jobs.queue.scheduler import Scheduler, Turn
from xray_tui.jobs.queue.tickets import Queue
from xray_tui.jobs.supervise.recovery import ORPHAN
from xray_tui.jobs.supervise.supervisor import ADOPTED
from xray_tui.system import process

from .conftest import Place, eventually, gpu


def test_launchers_at_once_never_lease_a_gpu_twice(place: Place) -> None:
    place.have(gpu(0), gpu(1))
    marks = place.folder / "marks"
    marks.mkdir()
    jobs: list[Job] = []

    def launch(name: str) -> None:
        for number in range(4):
            jobs.append(place.launch("exclusively", marks, run=f"{name}{number}", gpu="auto"))

    threads = [threading.Thread(target=launch, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({job.id for job in jobs}) == 8
    ended = [place.until(job) for job in jobs]
    assert [(job.state, job.cause) for job in ended] == [(State.SUCCEEDED, None)] * 8
    assert {job.gpus for job in ended} == {("GPU-0",), ("GPU-1",)}


def test_tickets_are_served_in_their_order(place: Place) -> None:
    place.have(gpu(0))
    done, served = place.folder / "done", place.folder / "served"
    place.until_working(place.launch("until", done, gpu="auto"))
    jobs = [place.launch("note", served, word, run=word, gpu="auto") for word in "bcdef"]
    place.until_waiting(jobs[-1], "4 jobs before it")
    done.touch()
    for job in jobs:
        place.until(job)
    assert served.read_text().split() == list("bcdef")


def test_a_dead_ticket_is_passed_over_and_its_job_waits_again_after_a_look(place: Place) -> None:
    place.have(gpu(0))
    done = place.folder / "done"
    place.until_working(place.launch("until", done, gpu="auto"))
    dead = place.launch("succeed", run="b", gpu="auto")
    living = place.launch("succeed", run="c", gpu="auto")
    place.kill_supervisor(dead)
    done.touch()
    assert place.until(living).state is State.SUCCEEDED
    assert place.job(dead).state is State.QUEUED
    place.look()
    assert place.until(dead).state is State.SUCCEEDED


def test_a_lease_lives_as_long_as_the_engine_though_its_supervisor_is_killed(place: Place) -> None:
    place.have(gpu(0))
    done = place.folder / "done"
    first = place.until_working(place.launch("until", done, gpu="auto"))
    second = place.launch("succeed", run="b", gpu="0")
    place.kill_supervisor(first)
    place.look()
    assert (place.job(first).state, place.job(first).note) in ((State.RUNNING, ORPHAN), (State.RUNNING, ADOPTED))
    place.until_waiting(second, "GPU 0 is used by a job")
    done.touch()
    assert place.until(second).gpus == ("GPU-0",)
    first = place.until(first)
    assert (first.state, first.note) == (State.SUCCEEDED, None)


def test_a_lock_file_that_its_owner_removes_is_locked_anew(place: Place) -> None:
    place.have(gpu(0))
    place.until_working(place.launch("until", place.folder / "never", gpu="auto"))
    lock = LockDir(place.leases).gpu("GPU-0")
    lock.unlink()
    eventually(lambda: file_lock.is_held(lock), "another lock in its place")
    second = place.launch("succeed", run="b", gpu="auto")
    place.until_waiting(second, "GPU 0 is used by a job")


def test_a_job_is_lost_when_supervisor_and_engine_are_gone_without_a_record(place: Place) -> None:
    place.have(gpu(0))
    job = place.until_working(place.launch("until", place.folder / "never", gpu="auto"))
    place.kill_supervisor(job)
    assert job.process is not None
    process.send(job.process, signal.SIGKILL)
    eventually(lambda: place.look()[0].state.ended, "a verdict")
    assert place.job(job).state is State.LOST
    assert place.job(job).cause == "its supervisor and its engine died without an end record"
    assert not file_lock.is_held(LockDir(place.leases).gpu("GPU-0"))


def test_a_gpu_that_others_compute_on_is_waited_for_with_their_name(place: Place) -> None:
    place.have(gpu(0), gpu(1, GpuProcess(4711, "C", user="alice")))
    job = place.launch("succeed", gpu="1")
    place.until_waiting(job, "GPU 1 is used by pid 4711 (alice)")
    place.have(gpu(0), gpu(1))
    job = place.until(job)
    assert (job.state, job.gpus) == (State.SUCCEEDED, ("GPU-1",))
    assert '"CUDA_VISIBLE_DEVICES": "GPU-1"' in place.log(job)


def test_a_job_for_a_free_gpu_does_not_wait_behind_jobs_for_another(place: Place) -> None:
    place.have(gpu(0), gpu(1, GpuProcess(4711, "C", user="alice")))
    waiting = [place.launch("succeed", run=run, gpu="1") for run in "bcd"]
    assert place.until(place.launch("succeed", run="e", gpu="0")).gpus == ("GPU-0",)
    assert place.until(place.launch("succeed", run="f", gpu="auto")).gpus == ("GPU-0",)
    assert {place.job(job).state for job in waiting} == {State.QUEUED}


def test_cpu_jobs_do_not_wait_behind_gpu_jobs(place: Place) -> None:
    place.have(gpu(0))
    place.until_working(place.launch("until", place.folder / "never", gpu="auto"))
    waiting = place.launch("succeed", run="b", gpu="auto")
    assert place.until(place.launch("succeed", run="c", gpu="none")).state is State.SUCCEEDED
    assert place.job(waiting).state is State.QUEUED


def test_no_gpu_is_given_twice_and_no_job_lost_while_supervisors_are_killed(place: Place) -> None:
    place.have(gpu(0), gpu(1))
    marks = place.folder / "marks"
    marks.mkdir()
    dice = random.Random(5)
    jobs = [place.launch("exclusively", marks, run=f"r{number}", gpu="auto") for number in range(10)]
    for _ in range(12):
        alive = [job.supervisor for job in place.look() if not job.state.ended and job.supervisor is not None]
        if alive:
            process.send(dice.choice(alive), signal.SIGKILL)
        time.sleep(dice.uniform(0.01, 0.1))
    eventually(lambda: all(job.state.ended for job in place.look()), "the end of all jobs")
    assert {(job.state, job.cause) for job in map(place.job, jobs)} == {(State.SUCCEEDED, None)}


def test_a_waiting_job_whose_folder_is_removed_leaves_the_queue_and_ends(place: Place) -> None:
    done = place.folder / "done"
    place.until_working(place.launch("until", done, cpu_slots=1))
    removed = place.launch("succeed", run="b", cpu_slots=1)
    eventually(lambda: place.job(removed).waits, "the first job in its way")
    supervisor = place.job(removed).supervisor
    assert supervisor is not None
    shutil.rmtree(place.store.folder(removed.id))
    eventually(lambda: not process.is_alive(supervisor), "the end of its supervisor")
    assert list((place.leases / "queue").iterdir()) == []
    assert not place.store.folder(removed.id).exists()


def test_a_job_that_cannot_be_written_lets_others_go_first(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    done = place.folder / "done"
    place.until_working(place.launch("until", done, cpu_slots=1))
    job = place.launch("succeed", run="b", cpu_slots=1)
    place.kill_supervisor(job)
    done.touch()
    eventually(lambda: not file_lock.is_held(LockDir(place.leases).cpu(0)))
    folder, leases = place.store.folder(job.id), LockDir(place.leases)
    scheduler = Scheduler(leases, lambda: place.snapshot)

    def full(folder: Path, job: Job) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("xray_tui.jobs.queue.scheduler.write_job", full)
        with pytest.raises(OSError, match="No space left"):
            scheduler.try_start(place.job(job), folder, lambda: None)
    assert Queue(leases).waiting() == []
    turn = scheduler.try_start(place.job(job), folder, lambda: None)
    assert isinstance(turn, Turn)
    for descriptor in turn.locks:
        os.close(descriptor)
