"""Which GPUs are free, as those who look are told and as the queue gives them."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from xray_tui.gpu.snapshot import GpuProcess, GpuSnapshot
from xray_tui.jobs.locks import file_lock
from xray_tui.jobs.locks.lock_dir import existing_lock_dir, find_lock_dir
from xray_tui.jobs.model.job import State
from xray_tui.jobs.queue.availability import OLD, held_gpus, standings

from .conftest import Place, gpu

NONE: frozenset[str] = frozenset()


def test_each_gpu_is_free_or_has_a_reason_of_a_few_words() -> None:
    blind = replace(gpu(3), processes=None, memory_used=30 << 30)
    lost = replace(gpu(4), processes=None, problem="GPU is lost")
    desktop = gpu(5, GpuProcess(1, "C+G"), GpuProcess(2, "G"))
    taken = gpu(2, GpuProcess(6555, "C", user="ana"))
    found = standings(GpuSnapshot((gpu(0), gpu(1), taken, blind, lost, desktop)), {"GPU-1"})
    assert found == {
        "GPU-0": None,
        "GPU-1": "used by a job",
        "GPU-2": "used by pid 6555 (ana)",
        "GPU-3": "perhaps used: its processes cannot be listed",
        "GPU-4": "GPU is lost",
        "GPU-5": None,
    }


def test_a_lease_is_told_before_the_processes_that_it_is_for() -> None:
    assert standings(GpuSnapshot((gpu(0, GpuProcess(7, "C")),)), {"GPU-0"}) == {"GPU-0": "used by a job"}


def test_no_gpu_is_free_where_nothing_new_is_known() -> None:
    stale = GpuSnapshot((gpu(0), gpu(1, GpuProcess(7, "C"))), stale="The driver does not answer.")
    assert standings(stale, NONE) == {"GPU-0": OLD, "GPU-1": "used by pid 7"}
    assert standings(GpuSnapshot(problem="No NVIDIA GPU here."), NONE) == {}


def test_a_gpu_without_a_uuid_is_passed_over_as_the_queue_does() -> None:
    assert standings(GpuSnapshot((replace(gpu(0), uuid=""), gpu(1))), NONE) == {"GPU-1": None}


def test_leases_are_seen_as_long_as_they_are_held(tmp_path: Path) -> None:
    folder = find_lock_dir(str(tmp_path / "leases"))
    held = file_lock.try_lock(folder.gpu("GPU-1"))
    assert held is not None
    assert held_gpus(["GPU-0", "GPU-1", ""], folder) == {"GPU-1"}
    os.close(held)
    assert held_gpus(["GPU-0", "GPU-1"], folder) == NONE
    assert not folder.gpu("GPU-0").exists()  # a look makes no lock file
    assert held_gpus(["GPU-0"], None) == NONE


def test_a_lock_that_cannot_be_asked_is_not_called_free(tmp_path: Path) -> None:
    folder = find_lock_dir(str(tmp_path / "leases"))
    folder.gpu("GPU-0").symlink_to("elsewhere")
    assert held_gpus(["GPU-0", "GPU-1"], folder) == {"GPU-0"}


def test_the_gpu_of_a_running_job_is_leased_and_the_next_job_gets_the_free_one(place: Place) -> None:
    place.have(gpu(0), gpu(1))
    job = place.until_working(place.launch("until", place.folder / "never", gpu="auto"))
    held = held_gpus([each.uuid for each in place.snapshot.gpus], existing_lock_dir(str(place.leases)))
    found = standings(place.snapshot, held)
    assert found == {"GPU-0": "used by a job", "GPU-1": None}
    assert job.gpus == ("GPU-0",)
    after = place.until(place.launch("succeed", run="b", gpu="auto"))
    assert (after.state, after.gpus) == (State.SUCCEEDED, ("GPU-1",))
