"""A job from its launch to its end, with real processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pexpect
import psutil
import pytest

from xray_tui.jobs.locks import file_lock
from xray_tui.jobs.locks.lock_dir import LockDir
from xray_tui.jobs.model.job import JobSpec, Progress, State
from xray_tui.system import process

from .conftest import HERE, Place, eventually


def test_a_job_runs_to_its_end_and_says_so(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place.folder)
    job = place.until(place.launch("succeed", run="seeds/seed_42"))
    assert (job.state, job.cause, job.exit_code, job.gpus) == (State.SUCCEEDED, None, 0, ())
    assert job.started is not None
    assert job.ended is not None
    assert job.created <= job.started <= job.ended
    assert job.peak_memory == 5 << 20
    first, second = place.log(job).splitlines()
    assert json.loads(first.removeprefix("environment ")) == {
        "CUDA_VISIBLE_DEVICES": "",
        "XRAY_TUI_JOB": job.id,
        "XRAY_TUI_RUN": "seeds/seed_42",
        "PYTHONUNBUFFERED": "1",
    }
    assert second == f"folder {place.folder}"


def test_a_launch_returns_at_once_and_leaves_no_child(place: Place) -> None:
    place.launch("succeed")  # the lock folder is made by the first
    others = set(psutil.Process().children())
    start = time.perf_counter()
    job = place.launch("until", place.folder / "never")
    assert time.perf_counter() - start < 0.5  # 10 ms on an idle machine
    place.until_working(job)
    assert set(psutil.Process().children()) <= others


def launching_program(place: Place, done: Path) -> list[str]:
    """A program that launches a job, prints its id and stays."""
    program = (
        "import sys, time; from pathlib import Path\n"
        "from xray_tui.jobs.launch.launcher import JobSpec, LocalLauncher\n"
        "runs, leases, done, programs, *supervisor = sys.argv[1:]\n"
        "engine = (sys.executable, programs)\n"
        "launcher = LocalLauncher(Path(runs), leases, engine=engine, supervisor=tuple(supervisor))\n"
        "print(launcher.launch(JobSpec('evaluate', 'a', ('until', done), 'none')).id, flush=True)\n"
        "time.sleep(600)"
    )
    given = (place.runs, place.leases, done, HERE / "programs.py", *place.supervisor)
    return [sys.executable, "-c", program, *map(str, given)]


def test_a_job_outlives_the_kill_of_its_launcher(place: Place) -> None:
    done = place.folder / "done"
    launcher = subprocess.Popen(
        launching_program(place, done), stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert launcher.stdout is not None
    job = place.until_working(place.store.get(launcher.stdout.readline().strip()))
    os.killpg(launcher.pid, signal.SIGKILL)
    launcher.wait()
    done.touch()
    assert place.until(job).state is State.SUCCEEDED


def test_a_job_outlives_the_terminal_it_was_launched_from(place: Place) -> None:
    done = place.folder / "done"
    program, *arguments = launching_program(place, done)
    terminal = pexpect.spawn(program, arguments, encoding="utf-8")
    terminal.expect(r"(\d{6}-\d{6}-\w{4})\r\n", timeout=15)
    assert terminal.match is not None
    job = place.until_working(place.store.get(terminal.match[1]))
    terminal.close(force=True)
    done.touch()
    assert place.until(job).state is State.SUCCEEDED


def test_a_hang_up_reaches_neither_supervisor_nor_engine(place: Place) -> None:
    done = place.folder / "done"
    job = place.until_working(place.launch("until", done))
    for found in (job.supervisor, job.process):
        assert found is not None
        assert process.send(found, signal.SIGHUP)
    done.touch()
    assert place.until(job).state is State.SUCCEEDED


def test_others_see_in_the_process_list_whose_a_job_is(place: Place) -> None:
    job = place.until_working(place.launch("until", place.folder / "never", run="unet"))
    assert job.supervisor is not None
    assert psutil.Process(job.supervisor.pid).cmdline()[0] == f"xray-tui job unet ({process.user()})"


def test_progress_is_seen_while_it_runs(place: Place) -> None:
    job = place.launch("progress")
    eventually(lambda: place.job(job).progress == Progress(3, 20, "epochs", "train", 61.5), "the progress")


def test_an_engine_that_is_killed_is_failed_with_the_signal(place: Place) -> None:
    job = place.until(place.launch("killed"))
    assert (job.state, job.cause, job.exit_code) == (State.FAILED, "killed by SIGKILL", -9)


def test_a_launcher_that_ignores_its_children_hides_no_exit_status(place: Place) -> None:
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        job = place.launch("killed")
    finally:
        signal.signal(signal.SIGCHLD, before)
    assert place.until(job).exit_code == -signal.SIGKILL


def test_a_status_of_zero_without_an_end_record_is_no_success(place: Place) -> None:
    job = place.until(place.launch("without_record"))
    assert (job.state, job.cause) == (State.FAILED, "ended without its end record")


def test_an_engine_that_cannot_be_started_is_failed_with_the_reason(place: Place) -> None:
    launcher = replace(place.launcher(), engine=("/no/such/program",))
    job = place.until(launcher.launch(JobSpec("evaluate", "a", (), "none")))
    assert job.state is State.FAILED
    assert job.cause is not None
    assert job.cause.startswith("could not be started: ")
    assert "/no/such/program" in job.cause


def test_cpu_jobs_have_slots_of_their_own(place: Place) -> None:
    done = place.folder / "done"
    first, second = (place.until_working(place.launch("until", done, run=run)) for run in "ab")
    third = place.launch("until", done, run="c")
    place.until_waiting(third, "2 jobs run on the CPU already")
    done.touch()
    for job in (first, second, third):
        assert place.until(job).state is State.SUCCEEDED


def test_auto_without_a_gpu_runs_on_the_cpu_and_says_so(place: Place) -> None:
    if Path("/dev/nvidiactl").exists():
        pytest.skip("this machine has an NVIDIA driver: auto waits for its GPUs")
    job = place.until_working(place.launch("until", place.folder / "never", gpu="auto"))
    assert job.gpus == ()
    assert job.note == "on the CPU: this machine has no NVIDIA GPU"


def test_a_job_runs_in_a_folder_whose_name_is_no_text(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    odd = os.fsencode(place.folder) + b"/\xff"
    os.mkdir(odd)
    monkeypatch.chdir(odd)
    job = place.until(place.launch("without_record"))
    assert os.fsencode(job.cwd) == odd
    assert place.log(job) == "all is well\n"


def test_a_loader_that_warns_fails_no_job(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LD_PRELOAD", "/no/such/library.so")
    place.until_working(place.launch("until", place.folder / "never", cpu_slots=1))
    job = place.launch("succeed", run="b", cpu_slots=1)
    place.until_waiting(job, "1 job runs on the CPU already")
    place.kill_supervisor(job)
    place.look()
    assert place.job(job).state is State.QUEUED
    eventually(lambda: file_lock.is_held(LockDir(place.leases).supervised(job.id)), "a new supervisor")


def test_a_supervisor_that_fails_leaves_its_exception(place: Place) -> None:
    place.gpus.write_text("no machine")
    job = place.launch("succeed", gpu="auto")
    eventually(lambda: place.look()[0].state.ended, "a verdict")
    cause = place.job(job).cause or ""
    assert cause.startswith("its supervisor failed: json.decoder.JSONDecodeError: Expecting value")
