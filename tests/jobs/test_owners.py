"""Whose processes they are, with real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from xray_tui.jobs.model.job import Job, JobSpec, State
from xray_tui.jobs.supervise.process_owners import Owner, owners, runs_by_gpu
from xray_tui.system import process
from xray_tui.system.process import Process

from .conftest import Place, eventually

SLEEP = "sleep 600 >/dev/null & echo $!"
"""A shell's child that tells its pid."""

BARE: dict[str, str] = {"PATH": os.environ["PATH"]}
"""An environment without marks."""

Start = Callable[..., tuple[int, int]]


@pytest.fixture
def start() -> Iterator[Start]:
    """Runs a shell's script in a session of its own and gives its pid and the one that it prints first."""
    begun: list[subprocess.Popen[str]] = []
    told: list[Process | None] = []

    def start(script: str, environment: dict[str, str] = BARE) -> tuple[int, int]:
        shell = subprocess.Popen(
            ["sh", "-c", script], stdout=subprocess.PIPE, text=True, env=environment, start_new_session=True
        )
        begun.append(shell)
        assert shell.stdout is not None
        pid = int(shell.stdout.readline())
        told.append(process.identify(pid))
        if SLEEP in script:  # told by the shell before it is that: while a process becomes one it has no environment
            eventually(lambda: Path(f"/proc/{pid}/comm").read_text() == "sleep\n", f"{pid} to sleep")
        return shell.pid, pid

    yield start
    for one in filter(None, told):
        process.send(one, signal.SIGKILL)
    for shell in begun:
        os.killpg(shell.pid, signal.SIGKILL)
        shell.wait()
        assert shell.stdout is not None
        shell.stdout.close()


def a_job(engine: int, run: str = "unet/seed_1", **changes: object) -> Job:
    """A job of this machine whose engine is the process with that pid."""
    job = Job("j1", JobSpec("train", run, ()), State.RUNNING, host=process.host(), boot=process.boot())
    return replace(job, process=process.identify(engine), **changes)  # type: ignore[arg-type]


def orphan(pid: int) -> int:
    """The process once its parent is gone."""

    def is_orphan() -> bool:
        parent = process.stat(process.stat(pid).parent)
        return parent is None or parent.session != os.getsid(pid)

    eventually(is_orphan, "a new parent")
    return pid


OURS = Owner("unet/seed_1", "j1")


def test_a_child_of_a_child_in_a_session_of_its_own_belongs_to_the_job(start: Start) -> None:
    engine, worker = start(f"setsid sh -c '{SLEEP}; wait' & wait")
    assert os.getsid(worker) != engine
    assert owners([worker, engine], [a_job(engine)]) == {worker: OURS, engine: OURS}


def test_a_child_of_the_supervisor_belongs_to_the_job_before_its_engine_is_known(start: Start) -> None:
    supervisor, child = start(f"{SLEEP}; wait")
    job = replace(a_job(supervisor), process=None, supervisor=process.identify(supervisor), state=State.STARTING)
    assert owners([child], [job]) == {child: OURS}


def test_a_child_whose_parents_are_gone_is_found_by_the_session(start: Start) -> None:
    engine, in_group = start(f"(sh -c '{SLEEP}'); wait; sleep 600")
    assert owners([orphan(in_group)], [a_job(engine)]) == {in_group: OURS}
    sleep = SLEEP.replace("$", "\\$")
    program = f"import os, subprocess; os.setpgid(0, 0); subprocess.run(['sh', '-c', '{sleep}'])"
    engine, in_session = start(f'"{sys.executable}" -S -c "{program}"; sleep 600')
    assert os.getpgid(in_session) != engine == os.getsid(in_session)
    assert owners([orphan(in_session)], [a_job(engine)]) == {in_session: OURS}


def test_one_that_left_tree_and_session_is_found_by_its_mark(start: Start) -> None:
    marks = {process.JOB_MARK: "j1", process.RUN_MARK: "unet/seed_1"}
    engine, daemon = start(f"setsid sh -c '{SLEEP}'; sleep 600", {**BARE, **marks})
    assert owners([orphan(daemon)], [a_job(engine)]) == {daemon: OURS}
    assert owners([daemon], [replace(a_job(engine), id="another")]) == {daemon: Owner("unet/seed_1", None)}


def test_a_job_of_another_runs_folder_is_known_by_its_run_alone(start: Start) -> None:
    _, theirs = start(f"{SLEEP}; wait", {**BARE, process.JOB_MARK: "j7", process.RUN_MARK: "their\x1brun"})
    assert owners([theirs], []) == {theirs: Owner("their\N{SYMBOL FOR ESCAPE}run", None)}


def test_a_job_that_has_ended_owns_nothing_but_its_mark_names_the_run(start: Start) -> None:
    marks = {process.JOB_MARK: "j1", process.RUN_MARK: "unet/seed_1"}
    engine, left = start(f"{SLEEP}; wait", {**BARE, **marks})
    assert owners([left], [a_job(engine, state=State.FAILED)]) == {left: Owner("unet/seed_1", None)}


def test_a_pid_that_is_used_again_is_somebody_else(start: Start) -> None:
    engine, child = start(f"{SLEEP}; wait")
    job = a_job(engine)
    assert job.process is not None
    before = replace(job, process=Process(engine, job.process.start - 100))
    assert owners([engine, child], [before]) == {}
    assert owners([engine, child], [replace(before, supervisor=Process(engine, 1))]) == {}


def test_a_parent_that_is_younger_than_its_child_is_none(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    engine, worker = start(f"setsid sh -c '{SLEEP}; wait' & wait")
    parent = process.stat(worker).parent
    see = process.stat

    def given_again(pid: int) -> process.Stat | None:
        """As /proc looks when the parent has ended between two looks and its number was given to a newer process."""
        found = see(pid)
        return replace(found, start=found.start + 10_000) if found and pid == parent else found

    monkeypatch.setattr(process, "stat", given_again)
    assert owners([worker], [a_job(engine)]) == {}


@pytest.mark.parametrize("elsewhere", [{"host": "another"}, {"boot": "an earlier one"}])
def test_the_pids_of_another_machine_or_boot_are_not_ours(start: Start, elsewhere: dict[str, str]) -> None:
    engine, child = start(f"{SLEEP}; wait")
    assert owners([engine, child], [a_job(engine, **elsewhere)]) == {}


def test_foreign_hidden_and_ended_processes_have_no_owner(start: Start) -> None:
    engine, _ = start(f"{SLEEP}; wait")
    _, foreign = start(f"{SLEEP}; wait")
    ended = subprocess.Popen(["true"])
    ended.wait()
    kernel_thread = 2
    assert owners([foreign, ended.pid, kernel_thread, 1, 0, -1, 1 << 40], [a_job(engine)]) == {}


@contextmanager
def without_privileges() -> Iterator[None]:
    """As somebody who may not read everything: root becomes another user for the block."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(before)


def test_a_process_whose_environment_cannot_be_read_is_found_by_its_parents(start: Start) -> None:
    closed = (
        "import ctypes, os, time; ctypes.CDLL(None).prctl(4, 0, 0, 0, 0); "  # PR_SET_DUMPABLE: off
        "print(os.getpid(), flush=True); time.sleep(600)"
    )
    marks = {process.JOB_MARK: "j1", process.RUN_MARK: "unet/seed_1"}
    engine, child = start(f'setsid "{sys.executable}" -S -c "{closed}" & wait', {**BARE, **marks})
    with without_privileges():
        assert process.environment(child) == []
        assert owners([child], [a_job(engine)]) == {child: OURS}
        assert owners([child], []) == {}


def test_one_that_has_overwritten_its_environment_is_found_by_its_parents(start: Start) -> None:
    titled = (
        "import os, setproctitle, time; setproctitle.setproctitle('a' * 4000); print(os.getpid(), flush=True); "
        "time.sleep(600)"
    )
    marks = {process.JOB_MARK: "j1", process.RUN_MARK: "unet/seed_1"}
    engine, child = start(f'setsid "{sys.executable}" -c "{titled}" & wait', {**BARE, **marks})
    assert not any(item.startswith(process.RUN_MARK.encode()) for item in process.environment(child))
    assert owners([child], [a_job(engine)]) == {child: OURS}


def test_a_real_job_owns_its_engine_and_not_the_one_who_asks(place: Place) -> None:
    job = place.until_working(place.launch("until", place.folder / "never", run="unet"))
    assert job.process is not None
    assert owners([job.process.pid, os.getpid()], place.store.jobs()) == {job.process.pid: Owner("unet", job.id)}


def test_no_file_is_read_twice_and_no_environment_without_need(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    engine, child = start(f"{SLEEP}; wait")
    _, foreign = start(f"{SLEEP}; wait")
    read: Counter[tuple[str, int]] = Counter()
    for name in ("stat", "environment"):
        ask = getattr(process, name)
        monkeypatch.setattr(process, name, lambda pid, name=name, ask=ask: read.update([(name, pid)]) or ask(pid))
    job = a_job(engine)
    read.clear()
    assert owners([child, foreign, engine, child], [job, replace(job, id="j2", state=State.FAILED)]) == {
        child: OURS,
        engine: OURS,
    }
    assert set(read.values()) == {1}
    assert [pid for name, pid in read if name == "environment"] == [foreign]


def test_the_marks_of_a_process_are_read_once_and_never_taken_for_those_of_a_later_one(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, marked = start(f"{SLEEP}; wait", {**BARE, process.JOB_MARK: "j7", process.RUN_MARK: "theirs"})
    _, foreign = start(f"{SLEEP}; wait")
    ask, see, read = process.environment, process.stat, Counter[int]()
    monkeypatch.setattr(process, "environment", lambda pid: read.update([pid]) or ask(pid))
    for _ in range(3):
        assert owners([marked, foreign], []) == {marked: Owner("theirs", None)}
    assert read == {marked: 1, foreign: 1}

    def given_again(pid: int) -> process.Stat | None:
        """As /proc looks when the number belongs to a newer process, here one without marks."""
        found = see(pid)
        return replace(found, start=found.start + 10_000) if found and pid == marked else found

    monkeypatch.setattr(process, "stat", given_again)
    monkeypatch.setattr(process, "environment", lambda pid: [b"PATH=/bin"])
    assert owners([marked, foreign], []) == {}


def test_the_gpus_of_living_jobs_have_their_runs(start: Start) -> None:
    engine, _ = start(f"{SLEEP}; wait")
    job = a_job(engine, gpus=("GPU-0", "GPU-1"))
    assert job.process is not None
    gone = replace(job, process=Process(engine, job.process.start - 100))
    others = [gone, replace(job, state=State.FAILED), replace(job, host="another"), a_job(engine)]
    assert runs_by_gpu([job, *others]) == {"GPU-0": ["unet/seed_1"], "GPU-1": ["unet/seed_1"]}
