"""Stopping jobs: politely, by force, and what must not be stopped."""

from __future__ import annotations

import errno
import json
import os
import sys
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from engine.contract.errors import BadInput
from xray_tui.jobs.actions.stop import stop
from xray_tui.jobs.model.job import Job, State, write_job
from xray_tui.jobs.supervise.supervisor import HANGS
from xray_tui.system import process
from xray_tui.widgets.job_format import job_detail

from .conftest import HERE, Place, eventually, is_alive


def ask(place: Place, job: Job, by: str | None = None) -> Job:
    return stop(place.store, job.id, by, place.supervisor)


def test_a_running_engine_may_save_and_says_who_stopped_it(place: Place) -> None:
    job = place.until_working(place.launch("until", place.folder / "never", grace=30.0))
    asked = ask(place, job, f"alice@{process.host()}")
    assert asked.state.ended or asked.stop_asked_by == f"alice@{process.host()}"
    job = place.until(job)
    assert (job.state, job.cause, job.exit_code) == (State.STOPPED, "stopped by alice", 3)


def test_a_stop_from_another_host_names_it(place: Place) -> None:
    job = place.until_working(place.launch("until", place.folder / "never"))
    ask(place, job, "bob@elsewhere")
    assert place.until(job).cause == "stopped by bob@elsewhere"


def test_stubborn_children_are_killed_after_the_grace_period(place: Place) -> None:
    pids = place.folder / "pids"
    job = place.launch("stubborn", pids)
    eventually(pids.exists)
    ask(place, job, f"alice@{process.host()}")
    job = place.until(job)
    assert (job.state, job.cause) == (State.STOPPED, "stopped by alice; it had to be killed")
    assert [pid for pid in json.loads(pids.read_text()) if is_alive(pid)] == []


def test_an_engine_that_hangs_in_the_kernel_is_signalled_less_and_less_often_and_the_job_says_it(place: Place) -> None:
    pipe, kills = place.folder / "pipe", place.folder / "kills"
    place.supervisor = (sys.executable, "-P", str(HERE / "unkillable.py"), str(kills), str(place.gpus))
    job = place.until_working(place.launch("hang", pipe))
    assert job.process is not None
    eventually(lambda: process.hangs_in_kernel(job.process.pid), "an engine in state D")
    stop(place.store, job.id)
    eventually(lambda: place.job(job).note == HANGS, f"the note, not {place.job(job).note!r}")
    times = [float(line) for line in kills.read_text().split()]
    assert all(later - earlier >= 0.05 * 2**n for n, (earlier, later) in enumerate(pairwise(times)))
    assert job_detail(place.job(job), time.time()).endswith(HANGS)
    pipe.open("wb").close()
    ended = place.until(job)
    assert (ended.state, ended.note) == (State.STOPPED, None)


def test_a_waiting_job_ends_without_having_run(place: Place) -> None:
    place.until_working(place.launch("until", place.folder / "never", cpu_slots=1))
    job = place.launch("note", place.folder / "ran", "it", run="b", cpu_slots=1)
    place.until_waiting(job, "1 job runs on the CPU already")
    ask(place, job)
    job = place.until(job)
    assert (job.state, job.cause) == (State.STOPPED, f"stopped by {process.user()}")
    assert not (place.folder / "ran").exists()
    assert list((place.leases / "queue").iterdir()) == []


def test_a_waiting_job_without_a_supervisor_is_stopped_by_the_asker(place: Place) -> None:
    place.until_working(place.launch("until", place.folder / "never", cpu_slots=1))
    job = place.launch("succeed", run="b", cpu_slots=1)
    place.kill_supervisor(job)
    assert ask(place, job).state is State.STOPPED


def test_an_engine_whose_supervisor_is_gone_is_stopped_with_its_children(place: Place) -> None:
    pids = place.folder / "pids"
    job = place.launch("stubborn", pids)
    eventually(pids.exists)
    place.until(job, State.RUNNING)
    place.kill_supervisor(job)
    ask(place, job)
    eventually(lambda: not any(map(is_alive, json.loads(pids.read_text()))), "the end of all processes")
    job = place.until(job)
    assert (job.state, job.cause) == (State.STOPPED, f"stopped by {process.user()}, without an end record")


def test_what_has_ended_cannot_be_stopped(place: Place) -> None:
    job = place.until(place.launch("succeed"))
    with pytest.raises(BadInput, match=r"has already ended \(succeeded\)"):
        ask(place, job)


def test_a_job_of_another_host_is_left_alone(place: Place) -> None:
    job = place.until_working(place.launch("until", place.folder / "never"))
    write_job(place.store.folder(job.id), replace(job, host="elsewhere"))
    with pytest.raises(BadInput, match="runs on elsewhere; stop it there"):
        ask(place, job)
    assert not (place.store.folder(job.id) / "stop.json").exists()


def test_a_pid_that_belongs_to_another_process_by_now_is_never_signalled() -> None:
    ours = process.identify(os.getpid())
    assert ours is not None
    assert not process.send(process.Process(ours.pid, ours.start - 1), 0)


def test_an_old_kernel_without_process_handles_stops_jobs_too(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(pid: int) -> int:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(os, "pidfd_open", missing)
    job = place.until_working(place.launch("until", place.folder / "never"))
    assert job.process is not None
    assert process.send(job.process, 15)
    assert place.until(job).state is State.STOPPED


def test_a_hostile_stop_file_stops_all_the_same(place: Place) -> None:
    job = place.until_working(place.launch("until", place.folder / "never"))
    folder: Path = place.store.folder(job.id)
    (folder / "stop.json").write_bytes(b"\xff\x1b[2J")
    ask(place, job)
    assert place.until(job).cause == "stopped by somebody"


def test_a_full_disk_forbids_no_stop(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("xray_tui.jobs.actions.stop.write_stop", full)
    running = place.until_working(place.launch("until", place.folder / "never", cpu_slots=1))
    waiting = place.launch("succeed", run="b", cpu_slots=1)
    eventually(lambda: place.job(waiting).waits, "the first job in its way")
    for job in (waiting, running):
        ask(place, job)
        ended = place.until(job)
        assert (ended.state, ended.cause) == (State.STOPPED, "stopped by a SIGTERM to its supervisor")


def test_a_full_disk_and_nobody_to_signal_is_told(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    job = place.until_working(place.launch("until", place.folder / "never"))
    place.kill_supervisor(job)
    monkeypatch.setattr("xray_tui.jobs.actions.stop.write_stop", full)
    with pytest.raises(BadInput, match="cannot stop the job now: No space left on device"):
        ask(place, job)
