"""A job on a machine whose GPUs the driver tells of: the stand-in NVML of ../shared, and the supervisor as it is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.gpu.fake import gpu
from xray_tui.gpu.sampler import sample_once
from xray_tui.jobs.model.job import JobSpec, State
from xray_tui.jobs.supervise import detach

from .conftest import Place


def test_auto_takes_the_gpu_on_which_the_driver_sees_nobody_compute(
    place: Place,
    built: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scenario = place.folder / "scenario.txt"
    scenario.write_text("\n".join((gpu(0, "proc = 1 C 100MiB 96 57"), gpu(1, "proc = 1 C+G 100MiB"))) + "\n")
    monkeypatch.setenv("LD_LIBRARY_PATH", str(built / "lib"))
    monkeypatch.setenv("FAKENVML_SCENARIO", str(scenario))
    launcher = replace(place.launcher(), supervisor=detach.SUPERVISOR, snapshot=sample_once)
    job = place.until(launcher.launch(JobSpec("evaluate", "a", ("succeed",), "auto")))
    assert (job.state, job.gpus) == (State.SUCCEEDED, ("GPU-00000001",))
    by_index = place.until(launcher.launch(JobSpec("evaluate", "b", ("succeed",), "1")))
    assert by_index.gpus == ("GPU-00000001",)


def test_a_gpu_that_is_in_use_without_a_listed_process_is_not_given_away(
    place: Place,
    built: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scenario = place.folder / "scenario.txt"
    scenario.write_text(f"{gpu(0, 'mem_total = 16GiB', 'mem_used = 14360MiB', 'util = 97')}\n")
    monkeypatch.setenv("LD_LIBRARY_PATH", str(built / "lib"))
    monkeypatch.setenv("FAKENVML_SCENARIO", str(scenario))
    launcher = replace(place.launcher(), supervisor=detach.SUPERVISOR, snapshot=sample_once)
    job = launcher.launch(JobSpec("evaluate", "a", ("succeed",), "auto"))
    place.until_waiting(job, "GPU 0 is in use: 14.0 GiB and 97 % utilisation of no listed process")
    assert place.job(job).state is State.QUEUED
