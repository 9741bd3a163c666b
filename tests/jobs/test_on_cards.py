"""On a machine with GPUs: jobs that wait side by side compute on one each."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from xray_tui.gpu.sampler import sample_once
from xray_tui.jobs.launch.launcher import LocalLauncher
from xray_tui.jobs.model.job import JobSpec, State
from xray_tui.jobs.storage.job_store import JobStore

from .conftest import eventually

pytestmark = pytest.mark.gpu

COMPUTE = """
import pathlib, sys, time, torch
one = torch.ones(1024, 1024, device="cuda")
assert torch.cuda.device_count() == 1
pathlib.Path(sys.argv[1], "GPU-" + str(torch.cuda.get_device_properties(0).uuid)).touch()
while len(list(pathlib.Path(sys.argv[1]).iterdir())) < int(sys.argv[2]):
    one = one @ one / 1024
    time.sleep(0.05)
"""


def test_two_jobs_compute_on_two_gpus_at_once(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    if len(sample_once().gpus) < 2:
        pytest.skip("needs two GPUs: with one nothing runs side by side")
    seen = tmp_path / "seen"
    seen.mkdir()
    (tmp_path / "runs").mkdir()
    launcher = LocalLauncher(tmp_path / "runs", str(tmp_path / "leases"))
    argv = (sys.executable, "-c", COMPUTE, str(seen), "2")
    jobs = [launcher.launch(JobSpec("command", f"job{number}", argv, "auto")) for number in range(2)]
    store = JobStore(tmp_path / "runs")
    eventually(lambda: all(store.get(job.id).state.ended for job in jobs), "their end")
    ended = [store.get(job.id) for job in jobs]
    assert [(job.state, job.cause) for job in ended] == [(State.SUCCEEDED, None)] * 2
    assert {uuid for job in ended for uuid in job.gpus} == {path.name for path in seen.iterdir()}
    assert len({job.gpus for job in ended}) == 2
