"""Small jobs that share a GPU: real jobs with real locks. Their rule is in test_terms."""

from __future__ import annotations

from pathlib import Path

import pytest

from xray_tui.jobs.actions.stop import stop
from xray_tui.jobs.locks.lock_dir import LockDir
from xray_tui.jobs.model.gpu_policy import GpuPolicy
from xray_tui.jobs.model.job import Job, JobSpec, State
from xray_tui.jobs.queue.availability import held_gpus

from .conftest import Place as Desk
from .conftest import gpu


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    desk = Desk(tmp_path)
    desk.have(gpu(0))
    yield desk
    desk.clear()


def small(desk: Desk, name: str = "a", slots: int = 2) -> Job:
    spec = JobSpec("evaluate", name, ("until", str(desk.folder / name)), "auto")
    return desk.launcher(terms=GpuPolicy(slots=slots)).launch(spec)


def test_two_share_the_gpu_a_third_waits_and_a_whole_job_waits_for_all(desk: Desk) -> None:
    first, second = small(desk, "a"), small(desk, "b")
    for job in (first, second):
        assert desk.until_working(job).gpus == ("GPU-0",)
    third = small(desk, "c")
    desk.until_waiting(third, "GPU 0 is shared by 2 jobs")
    whole = small(desk, "whole", slots=1)
    desk.until_waiting(whole, "1 job before it")
    (desk.folder / "a").touch()
    desk.until_working(third)
    desk.until_waiting(whole, "GPU 0 is shared by 2 jobs")
    for job in (second, third):
        stop(desk.store, job.id)
    assert desk.until_working(whole).gpus == ("GPU-0",)
    late = small(desk, "late")
    desk.until_waiting(late, "GPU 0 is used by a job")
    (desk.folder / "whole").touch()
    desk.until_working(late)
    assert desk.until(whole).state is State.SUCCEEDED


def test_a_slot_lives_as_long_as_its_engine(desk: Desk) -> None:
    job = desk.until_working(small(desk))
    desk.kill_supervisor(job)
    other = small(desk, "b")
    desk.until_working(other)
    third = small(desk, "c")
    desk.until_waiting(third, "GPU 0 is shared by 2 jobs")


def test_who_looks_sees_a_gpu_held_unless_there_is_a_slot_for_them(desk: Desk) -> None:
    folder = LockDir(desk.leases)
    desk.until_working(small(desk))
    assert held_gpus(["GPU-0"], folder) == {"GPU-0"}
    assert held_gpus(["GPU-0"], folder, slots=2) == frozenset()
    desk.until_working(small(desk, "b"))
    assert held_gpus(["GPU-0"], folder, slots=2) == {"GPU-0"}


def test_a_limit_of_one_gpu_leaves_all_of_its_slots_to_its_user(desk: Desk) -> None:
    desk.have(gpu(0), gpu(1))
    launcher = desk.launcher(terms=GpuPolicy(slots=2, max_gpus=1))

    def launch(name: str) -> Job:
        return launcher.launch(JobSpec("evaluate", name, ("until", str(desk.folder / name)), "auto"))

    for name in "ab":
        assert desk.until_working(launch(name)).gpus == ("GPU-0",)
    third = launch("c")
    desk.until_waiting(third, "your jobs hold 1 GPU, and max_gpus is 1")
    (desk.folder / "a").touch()
    assert desk.until_working(third).gpus == ("GPU-0",)


def test_a_slot_that_others_took_is_waited_for_and_the_free_gpu_left_to_them(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "others").mkdir()
    others = Desk(tmp_path / "others")
    others.leases = desk.leases
    try:
        modest = desk.launcher(terms=GpuPolicy(slots=2, max_gpus=1))
        first, second = (JobSpec("evaluate", name, ("until", str(desk.folder / name)), "auto") for name in "ab")
        desk.until_working(modest.launch(first))
        others.have(gpu(0))
        theirs = others.until_working(small(others, "a"))
        for place in (desk, others):
            place.have(gpu(0), gpu(1))
        waiting = modest.launch(second)
        desk.until_waiting(waiting, "your jobs hold 1 GPU, and max_gpus is 1")
        assert others.until_working(small(others, "b")).gpus == ("GPU-1",)
        stop(others.store, theirs.id)
        assert desk.until_working(waiting).gpus == ("GPU-0",)
    finally:
        others.clear()
