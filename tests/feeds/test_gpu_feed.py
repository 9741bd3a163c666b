"""What is known beside each look at the GPUs, with a real process that works for a run."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from xray_tui.feeds import gpu_feed
from xray_tui.feeds.gpu_feed import GpuFeed, Gpus
from xray_tui.gpu.history import Reading
from xray_tui.gpu.snapshot import GpuProcess, GpuSample, GpuSnapshot
from xray_tui.jobs.locks import file_lock
from xray_tui.jobs.locks.lock_dir import find_lock_dir
from xray_tui.system.process import RUN_MARK


@pytest.fixture
def worker() -> Iterator[int]:
    """The pid of a process that works for the run s1."""
    command = [sys.executable, "-S", "-c", "print(flush=True); input()"]
    marked = {**os.environ, RUN_MARK: "s1"}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=marked) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process.pid
        process.kill()


@pytest.fixture
def looks() -> list[Gpus]:
    return []


@pytest.fixture
def feed(looks: list[Gpus], tmp_path: Path) -> GpuFeed:
    """One that is handed its looks by the test."""
    return GpuFeed(looks.append, pytest.fail, str(tmp_path / "leases"))


def look(time: float, *processes: GpuProcess, stale: str | None = None) -> GpuSnapshot:
    gpu = GpuSample(0, "GPU-0", "A100", 3, 1 << 30, 80 << 30, processes=processes)
    return GpuSnapshot((gpu,), time=time, stale=stale)


def test_a_process_of_a_run_is_never_taken_for_a_stranger_and_its_gpu_no_longer_free(
    feed: GpuFeed, looks: list[Gpus], worker: int
) -> None:
    ours = GpuProcess(worker, "C", 1 << 30)
    for snapshot in (look(1.0), look(1.1, ours), look(1.2)):
        feed._sampled(snapshot)
    assert [[owner.run for owner in gpus.owners.values()] for gpus in looks] == [[], ["s1"], []]
    assert [gpus.availability["GPU-0"] is None for gpus in looks] == [True, False, True]


def test_a_desktop_process_that_begins_to_compute_takes_its_gpu_at_once(
    feed: GpuFeed, looks: list[Gpus], worker: int
) -> None:
    for place, kind in enumerate(("C+G", "C")):
        feed._sampled(look(1.0 + place / 10, GpuProcess(worker, kind, 1 << 20)))
    assert looks[1].availability["GPU-0"] is not None


def test_old_figures_are_not_judged_anew_and_add_nothing_to_the_minute(
    feed: GpuFeed, looks: list[Gpus], worker: int
) -> None:
    ours = GpuProcess(worker, "C", 1 << 30)
    feed._sampled(look(1.0, ours))
    feed._sampled(look(1.0, ours, stale="The driver has not answered."))
    assert looks[1].owners == looks[0].owners
    assert looks[1].history == looks[0].history == {"GPU-0": (Reading(1.0, 3, 1.25),)}


def test_no_gpu_is_free_while_the_driver_hangs_and_it_is_again_with_the_next_answer(
    feed: GpuFeed, looks: list[Gpus]
) -> None:
    for snapshot in (look(1.0), look(1.0, stale="The driver has not answered."), look(1.1)):
        feed._sampled(snapshot)
    assert [gpus.availability["GPU-0"] for gpus in looks] == [None, "not known now", None]


def busy(time: float) -> GpuSnapshot:
    """A GPU that works although no process is listed, as in a container."""
    return GpuSnapshot((GpuSample(0, "GPU-0", "A100", 97, 70 << 30, 80 << 30, processes=()),), time=time)


def test_a_gpu_that_works_without_a_listed_process_is_never_free(
    feed: GpuFeed, looks: list[Gpus], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu_feed, "JUDGE_INTERVAL", 0.0)
    for time in (1000.0, 1002.0, 1005.0):
        feed._sampled(busy(time))
    words = "70.0 GiB and 97 % utilisation of no listed process"
    assert [gpus.availability["GPU-0"] for gpus in looks] == [
        f"{use}: {words}" for use in ["perhaps used"] * 2 + ["in use"]
    ]
    assert len(looks[-1].samples["GPU-0"]) == 3, "the export judges by the same samples"


def test_what_is_in_use_on_the_gpu_of_a_small_job_is_that_jobs_and_its_free_slot_stays_free(
    looks: list[Gpus], tmp_path: Path
) -> None:
    folder = find_lock_dir(str(tmp_path / "leases"))
    held = file_lock.try_lock(folder.slots("GPU-0")[0])
    assert held is not None
    GpuFeed(looks.append, pytest.fail, str(folder.path), slots=2)._sampled(busy(1000.0))
    os.close(held)
    assert looks[0].availability == {"GPU-0": None}
