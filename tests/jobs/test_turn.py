"""What a waiting job sees of the machine, and takes it for."""

from __future__ import annotations

import contextlib
import os
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from xray_tui.gpu import host_probe
from xray_tui.gpu.snapshot import GpuSnapshot
from xray_tui.jobs.locks.file_lock import try_lock
from xray_tui.jobs.locks.lock_dir import LockDir
from xray_tui.jobs.model.job import Job, JobSpec
from xray_tui.jobs.queue.allocation import NO_GPU_NOTE, Wait
from xray_tui.jobs.queue.scheduler import Scheduler, Turn

from .conftest import Place, gpu


@pytest.fixture
def job(place: Place) -> Job:
    """It waits, and nobody is there to start it."""
    nobody = replace(place.launcher(), supervisor=("true",))
    return nobody.launch(JobSpec("evaluate", "a", ("succeed",), "auto"))


@pytest.fixture
def card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a GPU in a /sys of its own."""
    folder = tmp_path / "machine/sys/bus/pci/devices/0000:01:00.0"
    folder.mkdir(parents=True)
    (folder / "vendor").write_text("0x10de\n")
    (folder / "class").write_text("0x030200\n")
    monkeypatch.setattr(host_probe, "waiting_card", partial(host_probe.waiting_card, tmp_path / "machine"))
    return folder


@pytest.mark.skipif(host_probe.driver_files().devices, reason="this machine has an NVIDIA driver")
def test_after_a_restart_auto_waits_for_the_driver_of_a_card_and_then_takes_it(
    place: Place, job: Job, card: Path
) -> None:
    scheduler = Scheduler(LockDir(place.leases), lambda: place.snapshot)
    for _ in range(2):
        waits = scheduler.try_start(job, place.store.folder(job.id), lambda: None)
        assert isinstance(waits, Wait)
        assert waits.foreign
        assert waits.reason.startswith("no driver is loaded for the NVIDIA GPU at PCI 0000:01:00.0")
    place.have(gpu(0))
    turn = scheduler.try_start(job, place.store.folder(job.id), lambda: None)
    assert isinstance(turn, Turn)
    assert turn.job.gpus == ("GPU-0",)
    give_back(turn)


@pytest.mark.skipif(host_probe.driver_files().devices, reason="this machine has an NVIDIA driver")
def test_a_card_that_is_hidden_or_another_drivers_is_none(place: Place, job: Job, card: Path) -> None:
    (card / "driver").symlink_to("../../drivers/nvidia")
    scheduler = Scheduler(LockDir(place.leases), lambda: GpuSnapshot(problem="No NVIDIA GPU here."))
    turn = scheduler.try_start(job, place.store.folder(job.id), lambda: None)
    assert isinstance(turn, Turn)
    assert turn.job.note == NO_GPU_NOTE
    give_back(turn)


def test_a_gpu_that_shows_unexplained_use_is_sampled_again_and_taken_once_it_shows_none(place: Place, job: Job) -> None:
    scheduler = Scheduler(LockDir(place.leases), lambda: place.snapshot)
    for sample, expected in enumerate(("perhaps used", "in use", "in use", "in use")):
        used = replace(gpu(0), memory_used=14 << 30 if sample < 3 else 0)
        place.snapshot = GpuSnapshot((used,), time=1000.0 + 5 * sample)
        waits = scheduler.try_start(job, place.store.folder(job.id), lambda: None)
        assert waits == Wait(f"GPU 0 is {expected}: 14.0 GiB of no listed process", foreign=True)
    place.snapshot = GpuSnapshot((gpu(0),), time=1020.0)
    turn = scheduler.try_start(job, place.store.folder(job.id), lambda: None)
    assert isinstance(turn, Turn)
    give_back(turn)


def test_a_free_gpu_is_taken_at_once_beside_one_that_shows_unexplained_use(place: Place, job: Job) -> None:
    place.have(replace(gpu(0), utilisation=97), gpu(1))
    turn = Scheduler(LockDir(place.leases), lambda: place.snapshot).try_start(
        job, place.store.folder(job.id), lambda: None
    )
    assert isinstance(turn, Turn)
    assert turn.job.gpus == ("GPU-1",)
    give_back(turn)


def test_what_a_job_leaves_in_the_drivers_average_does_not_keep_the_next_one_waiting(place: Place, job: Job) -> None:
    place.have(replace(gpu(0), utilisation=97, memory_used=14 << 30))
    leases = LockDir(place.leases)
    scheduler = Scheduler(leases, lambda: place.snapshot)
    held = try_lock(leases.gpu("GPU-0"))
    assert held is not None
    for _ in range(2):
        assert scheduler.try_start(job, place.store.folder(job.id), lambda: None) == Wait("GPU 0 is used by a job")
    os.close(held)
    waits = scheduler.try_start(job, place.store.folder(job.id), lambda: None)
    assert waits == Wait("GPU 0 is perhaps used: 14.0 GiB of no listed process", foreign=True)
    place.have(replace(gpu(0), utilisation=60))
    turn = scheduler.try_start(job, place.store.folder(job.id), lambda: None)
    assert isinstance(turn, Turn)
    give_back(turn)


def test_a_gpu_that_is_freed_between_the_look_and_the_lock_is_looked_at_again(place: Place, job: Job) -> None:
    place.have(replace(gpu(0), memory_used=14 << 30))
    leases = LockDir(place.leases)
    held = try_lock(leases.gpu("GPU-0"))
    assert held is not None
    scheduler = Scheduler(leases, lambda: place.snapshot)

    def frees() -> None:
        with contextlib.suppress(OSError):  # asked twice
            os.close(held)

    assert scheduler.try_start(job, place.store.folder(job.id), frees) == Wait("GPU 0 is used by a job")
    waits = scheduler.try_start(job, place.store.folder(job.id), lambda: None)
    assert waits == Wait("GPU 0 is perhaps used: 14.0 GiB of no listed process", foreign=True)


def test_a_lock_that_cannot_be_opened_is_said_with_its_path_and_the_reason(place: Place, job: Job) -> None:
    place.have(gpu(0))
    lock = LockDir(place.leases).gpu("GPU-0")
    scheduler = Scheduler(LockDir(place.leases), lambda: place.snapshot)
    os.mkfifo(lock)
    for _ in range(2):
        with pytest.raises(OSError, match=r"GPU-0\.lock: not a regular file"):
            scheduler.try_start(job, place.store.folder(job.id), lambda: None)
    lock.unlink()
    turn = scheduler.try_start(job, place.store.folder(job.id), lambda: None)
    assert isinstance(turn, Turn)
    give_back(turn)


def give_back(turn: Turn) -> None:
    for held in turn.locks:
        os.close(held)
