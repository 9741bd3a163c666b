"""Who else computes on a running job's GPUs."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from xray_tui.gpu.snapshot import GpuProcess, GpuSnapshot
from xray_tui.jobs.supervise.foreign_processes import strangers

from .conftest import Place, eventually, gpu


@pytest.fixture
def stranger() -> Iterator[int]:
    with subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(600)"]) as process:
        yield process.pid
        process.kill()


def test_a_job_alone_on_its_gpu_has_nobody_to_tell_of(place: Place, tmp_path: Path, stranger: int) -> None:
    place.have(gpu(0), gpu(1))
    job = place.until_working(place.launch("until", tmp_path / "go", gpu="auto"))
    mine = gpu(0, GpuProcess(job.process.pid, "C"), GpuProcess(7, "G"))
    assert strangers(job, GpuSnapshot((mine, gpu(1, GpuProcess(stranger, "C"))))) is None
    beside = gpu(0, GpuProcess(job.process.pid, "C"), GpuProcess(stranger, "C", user="alice"), GpuProcess(99, "M+C"))
    assert strangers(job, GpuSnapshot((beside,))) == f"GPU 0 is also used by pid {stranger} (alice), and 1 more"


def test_one_that_comes_while_a_job_runs_is_noted_until_it_goes(
    place: Place, tmp_path: Path, stranger: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.have(gpu(0))
    job = place.until_working(place.launch("until", tmp_path / "go", gpu="auto"))
    place.have(gpu(0, GpuProcess(job.process.pid, "C"), GpuProcess(stranger, "C", user="alice")))
    eventually(lambda: place.job(job).note == f"GPU 0 is also used by pid {stranger} (alice)", "the note")
    place.have(gpu(0, GpuProcess(job.process.pid, "C")))
    eventually(lambda: place.job(job).note is None, "its end")
