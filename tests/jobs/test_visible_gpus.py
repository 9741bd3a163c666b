"""$CUDA_VISIBLE_DEVICES of the launching shell limits the GPUs of its jobs, as it limits CUDA programs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from engine.contract.errors import BadInput, Exit
from tests.gpu import fake
from xray_tui.cli.main import main
from xray_tui.doctor.checks.gpus import visible_gpus
from xray_tui.doctor.findings import Mark
from xray_tui.gpu import host_probe
from xray_tui.gpu.snapshot import GpuSample, GpuSnapshot
from xray_tui.jobs.actions.resume import resume
from xray_tui.jobs.launch.gpu_request import resolve_gpu
from xray_tui.jobs.locks import lock_dir
from xray_tui.jobs.model.gpu_policy import GpuPolicy
from xray_tui.jobs.model.job import JobSpec, State
from xray_tui.jobs.preflight.estimate import PastJobs
from xray_tui.jobs.preflight.preflight import look_ahead
from xray_tui.jobs.queue.visible_gpus import VARIABLE, visible
from xray_tui.system.process import JOB_MARK

from .conftest import Place, gpu

THREE = tuple(
    GpuSample(index, f"GPU-{letter * 8}-0000-4000-8000-00000000000{index}", "A100", utilisation=0, memory_used=0)
    for index, letter in enumerate("aab")
)
MIG = "MIG-377e0049-554c-540b-93c6-d0976f8426cb"


@pytest.mark.parametrize(
    ("value", "indices"),
    [
        ("2", [2]),
        ("2,0", [2, 0]),
        (" 1 , 2 ", [1, 2]),
        ("01", [1]),
        (THREE[1].uuid, [1]),
        ("GPU-b", [2]),
        ("GPU-b,0", [2, 0]),
        ("GPU-a", []),
        ("b", []),
        ("", []),
        ("-1", []),
        ("NoDevFiles", []),
        (MIG, []),
        ("0,-1,1", [0]),
        ("1,7,0", [1]),
        (f"1,{MIG},0", [1]),
        ("0,0", []),
        ("0,1,0", []),
    ],
)
def test_a_value_means_what_cuda_makes_of_it(value: str, indices: list[int]) -> None:
    assert [sample.index for sample in visible(value, THREE)] == indices


def test_a_gpu_is_named_by_the_start_of_its_uuid_where_one_alone_begins_so() -> None:
    assert resolve_gpu("GPU-b", lambda: GpuSnapshot(THREE)) == THREE[2].uuid
    assert resolve_gpu(f"{THREE[0].uuid},GPU-b", lambda: GpuSnapshot(THREE)) == f"{THREE[0].uuid},{THREE[2].uuid}"
    with pytest.raises(BadInput, match=r"^gpu: GPU-a: several UUIDs begin like this; give more of the UUID$"):
        resolve_gpu("GPU-a", lambda: GpuSnapshot(THREE))
    with pytest.raises(BadInput, match=r"^gpu: GPU-c: no such GPU; there are 0, 1, 2, auto and none$"):
        resolve_gpu("GPU-c", lambda: GpuSnapshot(THREE))
    one, eleven = replace(THREE[0], uuid="GPU-1"), replace(THREE[1], uuid="GPU-11")
    assert resolve_gpu("GPU-1", lambda: GpuSnapshot((one, eleven))) == "GPU-1", "a whole UUID comes before a start"


@pytest.fixture
def three(place: Place) -> Place:
    """A machine with three free GPUs."""
    place.have(gpu(0), gpu(1), gpu(2))
    return place


@pytest.mark.parametrize(("value", "uuid"), [("2", "GPU-2"), ("GPU-1", "GPU-1"), ("1,0", "GPU-1"), (None, "GPU-0")])
def test_a_job_takes_the_first_gpu_that_its_shell_left_it(
    three: Place, value: str | None, uuid: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if value is not None:
        monkeypatch.setenv(VARIABLE, value)
    job = three.until(three.launch("succeed", gpu="auto"))
    assert (job.state, job.gpus) == (State.SUCCEEDED, (uuid,))
    assert f'"CUDA_VISIBLE_DEVICES": "{uuid}"' in three.log(job)


def test_a_limited_job_waits_for_its_gpu_though_another_is_free(three: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "2")
    three.until_working(three.launch("until", three.folder / "go", gpu="auto"))
    job = three.launch("succeed", run="b", gpu="auto")
    three.until_waiting(job, "GPU 2 is used by a job")
    (three.folder / "go").touch()
    assert three.until(job).gpus == ("GPU-2",)


@pytest.mark.parametrize(
    ("value", "asked", "line"),
    [
        ("", "auto", "gpu: CUDA_VISIBLE_DEVICES='' leaves jobs no GPU; give --gpu none, or unset the variable"),
        ("-1", "auto", "gpu: CUDA_VISIBLE_DEVICES=-1 leaves jobs no GPU; give --gpu none, or unset the variable"),
        ("-1", "1", "gpu: CUDA_VISIBLE_DEVICES=-1 leaves jobs no GPU; give --gpu none, or unset the variable"),
        (MIG, "auto", f"gpu: CUDA_VISIBLE_DEVICES={MIG} leaves jobs no GPU (jobs use whole GPUs, not MIG devices); "
         "give --gpu none, or unset the variable"),
        ("2", "1", "gpu: 1: not available: CUDA_VISIBLE_DEVICES=2 limits jobs to GPU 2"),
        ("2,1", "0", "gpu: 0: not available: CUDA_VISIBLE_DEVICES=2,1 limits jobs to GPU 2, 1"),
        ("\x1b[31m", "auto", "gpu: CUDA_VISIBLE_DEVICES='␛[31m' leaves jobs no GPU; give --gpu none, or unset the "
         "variable"),
    ],
)  # fmt: skip
def test_a_gpu_that_the_shell_hides_is_refused_at_the_launch(
    three: Place, value: str, asked: str, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, value)
    with pytest.raises(BadInput) as refused:
        three.launch("succeed", gpu=asked)
    assert refused.value.lines == (line,)
    assert three.store.jobs() == []


def test_without_a_gpu_the_variable_is_not_asked(three: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "")
    assert three.until(three.launch("succeed", gpu="none")).state is State.SUCCEEDED
    three.have()
    job = three.until(three.launch("succeed", gpu="auto"))
    assert (job.state, job.gpus) == (State.SUCCEEDED, ()), "a machine without a GPU runs it on the CPU as ever"


def test_a_driver_that_does_not_answer_is_named_where_the_value_needs_it(
    three: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "xray_tui.jobs.queue.visible_gpus.driver_files", lambda: host_probe.DriverFiles(True, True, False)
    )
    monkeypatch.setenv(VARIABLE, "1")
    three.have()
    with pytest.raises(BadInput, match="CUDA_VISIBLE_DEVICES=1 cannot be looked up: No NVIDIA GPU here"):
        three.launch("succeed", gpu="auto")


def test_the_settings_gpus_and_the_variable_both_count(three: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "0,1")
    job = three.launch("succeed", gpu="auto", terms=GpuPolicy(allowed=("2", "1", "0")))
    assert job.terms.allowed == ("GPU-1", "GPU-0"), "in the settings' order"
    with pytest.raises(BadInput, match="and the settings allow only other gpus"):
        three.launch("succeed", gpu="auto", terms=GpuPolicy(allowed=("2",)))


def test_several_gpus_are_counted_among_those_that_are_left(three: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "2")
    with pytest.raises(BadInput, match="gpus: 2: there is only 1"):
        three.launcher().launch(JobSpec("train", "a", ("train",), "auto", 2))


def test_a_job_that_launches_another_does_not_limit_it_to_its_own_gpu(
    three: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, "GPU-2")
    monkeypatch.setenv(JOB_MARK, "some job")
    assert three.until(three.launch("succeed", gpu="auto")).gpus == ("GPU-0",)


def test_a_resumed_training_keeps_the_limit_of_its_launch(three: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "2")
    job = three.until(three.launch("exit", "1", gpu="auto", kind="train"))
    assert job.gpus == ("GPU-2",)
    monkeypatch.delenv(VARIABLE)
    again = resume(three.store, job.id, three.supervisor)
    assert three.until(again).gpus == ("GPU-2",)


# What is said of it


def test_doctor_says_what_the_variable_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    assert visible_gpus(GpuSnapshot(THREE)) == []
    monkeypatch.setenv(VARIABLE, "2")
    (found,) = visible_gpus(GpuSnapshot(THREE))
    assert (found.mark, found.found) == (Mark.OK, "CUDA_VISIBLE_DEVICES=2 limits jobs to GPU 2")
    monkeypatch.setenv(VARIABLE, "")
    (found,) = visible_gpus(GpuSnapshot(THREE))
    assert (found.mark, found.found) == (Mark.WARN, "CUDA_VISIBLE_DEVICES='' leaves jobs no GPU")


def test_the_outlook_of_a_launch_says_that_it_would_be_refused(three: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = JobSpec("command", "a", ("true",), "auto")
    monkeypatch.setenv(VARIABLE, "-1")
    found = look_ahead([spec], PastJobs(three.runs), three.snapshot)
    assert "✗ gpu: CUDA_VISIBLE_DEVICES=-1 leaves jobs no GPU; give --gpu none, or unset the variable" in found.lines
    monkeypatch.setenv(VARIABLE, "1")
    assert not look_ahead([spec], PastJobs(three.runs), three.snapshot).is_bad


def test_launch_says_the_limit_and_refuses_what_lies_outside(
    place: Place,
    built: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    scenario = place.folder / "scenario.txt"
    scenario.write_text("\n".join(fake.gpu(index) for index in range(3)) + "\n")
    for name, value in (
        ("LD_LIBRARY_PATH", built / "lib"),
        ("FAKENVML_SCENARIO", scenario),
        ("XDG_CONFIG_HOME", place.folder / "config"),
        (lock_dir.LOCK_DIR_ENV, place.leases),
        (VARIABLE, "GPU-00000002"),
    ):
        monkeypatch.setenv(name, str(value))
    launch = ["launch", "command", "--runs", str(place.runs), "--run", "a"]
    assert main([*launch, "--gpu", "1", "--", "true"]) == Exit.BAD_INPUT
    assert "gpu: 1: not available: CUDA_VISIBLE_DEVICES=GPU-00000002 limits jobs to GPU 2" in capsys.readouterr().err
    assert main([*launch, "--dry-run", "--gpu", "1", "--", "true"]) == Exit.BAD_INPUT
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if "gpu: 1: not available" in line] == lines[:1], "once, and first"
    assert main([*launch, "--", "sh", "-c", "echo on $CUDA_VISIBLE_DEVICES"]) == Exit.DONE
    said = capsys.readouterr()
    assert said.err == "xray-tui: CUDA_VISIBLE_DEVICES=GPU-00000002 limits jobs to GPU 2\n"
    job = place.until(place.store.get(said.out.strip()))
    assert place.log(job) == "on GPU-00000002\n"
