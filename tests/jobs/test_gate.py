"""What keeps a waiting job out of the queue: the rule as a function of values, and real jobs under it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from engine.contract.errors import BadInput
from xray_tui.jobs.actions.queue_actions import hold, move, release
from xray_tui.jobs.actions.stop import stop
from xray_tui.jobs.locks.lock_dir import LockDir
from xray_tui.jobs.model.gpu_policy import GpuPolicy
from xray_tui.jobs.model.job import Job, JobSpec, State
from xray_tui.jobs.queue.admission import Blocked, check_admission
from xray_tui.jobs.queue.tickets import Queue

from .conftest import Place, eventually, gpu

NOON = 12 * 60
PARENT = Job("p1", JobSpec("train", "unet_a", ()), State.RUNNING, user="ana", gpus=("GPU-0",))
CHILD = Job("c1", JobSpec("evaluate", "unet_a", (), after=("p1",)), State.QUEUED, user="ana")


def blocked(job: Job = CHILD, *others: Job, held: str | None = None, released: bool = False) -> Blocked | None:
    return check_admission(job, held, released, others, NOON)


def test_a_job_without_wishes_and_parents_is_let_through() -> None:
    assert blocked(replace(CHILD, spec=JobSpec("train", "a", ()))) is None


def test_a_held_job_stays_out_whoever_holds_it() -> None:
    assert blocked(held="ana") == Blocked(State.HELD, "held by ana")


def test_a_job_comes_after_its_parent_has_succeeded() -> None:
    assert blocked(CHILD, PARENT) == Blocked(State.QUEUED, "after train unet_a (running)")
    assert blocked(CHILD, replace(PARENT, state=State.SUCCEEDED)) is None


@pytest.mark.parametrize(
    ("state", "words"), [(State.FAILED, "failed"), (State.STOPPED, "was stopped"), (State.LOST, "is lost")]
)
def test_a_parent_that_does_not_succeed_blocks_with_its_cause(state: State, words: str) -> None:
    parent = replace(PARENT, state=state, cause="out of memory")
    assert blocked(CHILD, parent) == Blocked(State.BLOCKED, f"train unet_a {words} (out of memory)")
    assert blocked(CHILD, parent, released=True) is None


def test_a_parent_that_is_gone_blocks_and_one_failure_counts_more_than_one_that_runs() -> None:
    assert blocked() == Blocked(State.BLOCKED, "p1 is gone")
    two = replace(CHILD, spec=replace(CHILD.spec, after=("p1", "p2")))
    failed = replace(PARENT, id="p2", state=State.FAILED)
    assert blocked(two, PARENT, failed) == Blocked(State.BLOCKED, "train unet_a failed")


# Real jobs


def test_jobs_that_wait_side_by_side_never_hold_more_gpus_than_the_terms_allow(place: Place, tmp_path: Path) -> None:
    place.have(*map(gpu, range(4)))
    alone = ("sh", "-c", f"mkdir {tmp_path}/one && sleep 0.1 && rmdir {tmp_path}/one")
    launcher = place.launcher(terms=GpuPolicy(max_gpus=1))
    jobs = [launcher.launch(JobSpec("command", "c", alone, "auto"), hold=True) for _ in range(5)]
    for job in jobs:
        release(place.store, job.id)
    assert [place.until(job).state for job in jobs] == [State.SUCCEEDED] * 5


def test_a_held_job_begins_when_it_is_released(place: Place) -> None:
    job = place.launcher().launch(JobSpec("evaluate", "a", ("succeed",), "none"), hold=True)
    assert job.state is State.HELD
    eventually(lambda: place.job(job).supervisor, "its supervisor")
    assert place.job(job).state is State.HELD
    release(place.store, job.id)
    assert place.until(job).state is State.SUCCEEDED


def test_a_queued_job_is_held_and_others_pass_it(place: Place, tmp_path: Path) -> None:
    place.have(gpu(0))
    first = place.launch("until", tmp_path / "go", gpu="auto")
    place.until_working(first)
    second = place.launch("succeed", gpu="auto")
    third = place.launch("succeed", gpu="auto")
    hold(place.store, second.id)
    place.until(second, State.HELD)
    (tmp_path / "go").touch()
    assert place.until(third).state is State.SUCCEEDED
    assert place.job(second).state is State.HELD
    release(place.store, second.id)
    assert place.until(second).state is State.SUCCEEDED


def test_a_job_that_was_moved_and_held_comes_back_to_its_place(place: Place, tmp_path: Path) -> None:
    place.have(gpu(0))
    place.until_working(place.launch("until", tmp_path / "go", gpu="auto"))
    a, b, c = [place.launch("succeed", gpu="auto", run=name) for name in "abc"]
    move(place.store, c.id, -1)
    hold(place.store, c.id)
    place.until(c, State.HELD)
    release(place.store, c.id)
    queue = Queue(LockDir(place.leases))
    eventually(lambda: [ticket.job for ticket in queue.waiting()] == [a.id, c.id, b.id], "its place")


def test_a_running_job_can_be_neither_held_nor_released(place: Place, tmp_path: Path) -> None:
    job = place.launch("until", tmp_path / "go")
    place.until_working(job)
    with pytest.raises(BadInput, match="hold expects a waiting job"):
        hold(place.store, job.id)
    with pytest.raises(BadInput, match="release expects a waiting job"):
        release(place.store, job.id)


def test_a_dependant_begins_after_its_parent_and_not_before(place: Place, tmp_path: Path) -> None:
    parent = place.launch("until", tmp_path / "go", kind="train")
    child = place.launcher().launch(JobSpec("evaluate", "a", ("succeed",), "none", after=(parent.id,)))
    place.until_waiting(child, "after train a (running)")
    (tmp_path / "go").touch()
    assert place.until(child).state is State.SUCCEEDED
    assert place.job(child).started >= place.job(parent).ended


def test_a_blocked_dependant_says_why_and_can_be_released_or_stopped(place: Place) -> None:
    parent = place.launch("without_record", kind="train")
    children = [
        place.launcher().launch(JobSpec("evaluate", "a", ("succeed",), "none", after=(parent.id,))) for _ in range(2)
    ]
    for child in children:
        assert place.until(child, State.BLOCKED).waits == "train a failed (ended without its end record)"
    release(place.store, children[0].id)
    stop(place.store, children[1].id)
    assert place.until(children[0]).state is State.SUCCEEDED
    assert place.until(children[1]).state is State.STOPPED


def test_a_parent_whose_supervisor_was_killed_frees_its_dependant_though_nobody_looks(
    place: Place, tmp_path: Path
) -> None:
    parent = place.launch("until", tmp_path / "go", kind="train")
    place.until_working(parent)
    child = place.launcher().launch(JobSpec("evaluate", "a", ("succeed",), "none", after=(parent.id,)))
    place.until_waiting(child, "after train a (running)")
    place.kill_supervisor(parent)
    (tmp_path / "go").touch()
    assert place.until(child).state is State.SUCCEEDED


def test_a_parent_that_there_is_not_is_refused(place: Place) -> None:
    with pytest.raises(BadInput, match="no such job"):
        place.launcher().launch(JobSpec("evaluate", "a", ("succeed",), "none", after=("nobody",)))
