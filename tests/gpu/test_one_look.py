"""What one look at a machine gives: the real pynvml, through the real helper process, on the stand-in NVML."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from xray_tui.gpu.export_text import sentences
from xray_tui.gpu.sampler import sample_once
from xray_tui.gpu.snapshot import GpuSample, GpuSnapshot

from .fake import FakeNvml, gpu, helpers

GIB = 1 << 30


def look(nvml: FakeNvml, *scenario: str) -> GpuSnapshot:
    nvml.becomes(*scenario)
    return sample_once(20.0, environment=nvml.environment)


def fails(code: str, *calls: str) -> list[str]:
    return [f"error.{call} = {code}" for call in calls]


COMPUTE, GRAPHICS, MPS = (f"nvmlDeviceGet{kind}RunningProcesses" for kind in ("Compute", "Graphics", "MPSCompute"))
NOTHING = [f"{key} = N/A" for key in ("util", "mem_total", "temp", "power", "power_limit", "sm_clock", "throttle")]

WARD = {
    "at work": [
        "util = 97", "mem_total = 16GiB", "mem_used = 12GiB", "temp = 81", "power = 139.5", "power_limit = 140",
        "fan = 62", "sm_clock = 1335", "throttle = 0x48", "proc = 1 C 11GiB 96 50",
    ],
    "all kinds": [
        f"proc = {os.getpid()} C 3GiB 80", "proc = 4194301 C+G 2GiB", "proc = 4194302 G N/A", "proc = 4194303 M 1GiB",
    ],
    "idle": [],
    "first memory call only": [*fails("13", "nvmlDeviceGetMemoryInfo_v2"), "mem_used = 2GiB", "mem_reserved = 1GiB"],
    "older temperature call": [*fails("NOT_SUPPORTED", "nvmlDeviceGetTemperatureV"), "temp = 55"],
    "newer temperature call": [*fails("NOT_SUPPORTED", "nvmlDeviceGetTemperature"), "temp = 56"],
    "supports nothing": NOTHING,
    "no permission": ["state = NO_PERMISSION"],
    "hidden processes": [*fails("NO_PERMISSION", f"{COMPUTE}_v3", f"{COMPUTE}_v2"), "util = 12"],
    "compute list only": [
        *fails("NOT_SUPPORTED", f"{GRAPHICS}_v3", f"{GRAPHICS}_v2", f"{MPS}_v3", f"{MPS}_v2"), "proc = 1 C 1GiB",
    ],
    "one call fails": [*fails("UNKNOWN", "nvmlDeviceGetPowerUsage"), "util = 30"],
    "lost between two calls": fails("GPU_IS_LOST", "nvmlDeviceGetPowerUsage"),
    "control codes": ["name = NVIDIA\x1b[31m X"],
    "desktop": ["proc = 6557 C+G 120MiB 2", "proc = 6558 C+G 60MiB 1"],
    "reset required": ["state = RESET_REQUIRED"],
    "last of sixteen": ["util = 15"],
}  # fmt: skip
"""Sixteen GPUs of one machine, each with another trouble. None may cost its neighbours anything."""


@pytest.fixture(scope="module")
def ward(built: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, GpuSample]:
    nvml = FakeNvml(built / "lib", tmp_path_factory.mktemp("ward") / "scenario.txt")
    snapshot = look(nvml, "driver_version = 550.54.15", *(gpu(i, *lines) for i, lines in enumerate(WARD.values())))
    assert (snapshot.driver, snapshot.problem, snapshot.stale) == ("550.54.15", None, None)
    assert len(snapshot.gpus) == 16
    return dict(zip(WARD, snapshot.gpus, strict=True))


def test_every_gpu_has_its_row_in_its_place(ward):
    assert [row.index for row in ward.values()] == list(range(16))
    known = [row.uuid for name, row in ward.items() if name not in ("no permission", "reset required")]
    assert known == [f"GPU-{i:08d}" for i, name in enumerate(WARD) if name not in ("no permission", "reset required")]
    assert ward["last of sixteen"].utilisation == 15


def test_every_value_of_a_working_gpu_is_read(ward):
    row = ward["at work"]
    assert (row.index, row.uuid, row.name) == (0, "GPU-00000000", "NVIDIA RTX A4000")
    assert (row.utilisation, row.temperature, row.fan, row.sm_clock) == (97, 81, 62, 1335)
    assert (row.power, row.power_limit) == (139.5, 140.0)
    assert (row.memory_used, row.memory_total) == (12 * GIB, 16 * GIB), "without the driver's reserve"
    assert row.throttle == ("hardware thermal slowdown",)
    assert (row.problem, row.note, row.processes_problem) == (None, None, None)
    (process,) = row.processes
    assert (process.pid, process.kind, process.memory, process.sm) == (1, "C", 11 * GIB, 96)
    assert process.started is not None


def test_processes_have_their_kind_their_name_and_their_memory_or_none(ward):
    row = ward["all kinds"]
    assert [(p.pid, p.kind, p.memory, p.sm) for p in row.processes] == [
        (os.getpid(), "C", 3 * GIB, 80),
        (4194301, "C+G", 2 * GIB, 0),
        (4194303, "M", GIB, 0),
        (4194302, "G", None, 0),
    ]
    first, unseen = row.processes[:2]
    assert first.name
    assert first.command
    assert (unseen.name, unseen.user, unseen.command, unseen.started) == (None, None, None, None)


def test_an_idle_gpu_without_processes_is_read_as_such(ward):
    row = ward["idle"]
    assert (row.processes, row.processes_problem, row.utilisation) == ((), None, 0)


def test_a_driver_without_the_second_memory_call_is_read_by_the_first(ward):
    row = ward["first memory call only"]
    assert (row.memory_used, row.note) == (3 * GIB, None)


def test_either_temperature_call_will_do(ward):
    assert ward["older temperature call"].temperature == 55
    assert ward["newer temperature call"].temperature == 56


def test_a_gpu_that_supports_nothing_keeps_its_row_with_no_values_and_no_fault(ward):
    row = ward["supports nothing"]
    values = (row.utilisation, row.memory_used, row.memory_total, row.temperature, row.power, row.power_limit)
    assert values == (None,) * 6
    assert (row.fan, row.sm_clock, row.throttle) == (None, None, ())
    assert (row.problem, row.note, row.name) == (None, None, "NVIDIA RTX A4000")


def test_a_gpu_without_permission_keeps_its_row_with_the_reason(ward):
    row = ward["no permission"]
    assert row.problem.startswith("no permission: ")
    assert (row.processes, row.processes_problem, row.utilisation) == (None, "no permission", None)


def test_a_gpu_that_needs_a_reset_says_how(ward):
    assert "nvidia-smi --gpu-reset" in ward["reset required"].problem


def test_a_process_list_that_may_not_be_read_is_unavailable(ward):
    row = ward["hidden processes"]
    assert (row.processes, row.processes_problem) == (None, "no permission")
    assert (row.utilisation, row.problem) == (12, None)


def test_a_gpu_without_graphics_and_mps_lists_has_compute_processes(ward):
    assert [process.kind for process in ward["compute list only"].processes] == ["C"]


def test_one_call_that_fails_costs_one_value_and_is_noted(ward):
    row = ward["one call fails"]
    assert (row.power, row.utilisation, row.problem) == (None, 30, None)
    assert row.note == "power: Unknown Error"


def test_a_gpu_lost_between_two_calls_is_lost(ward):
    row = ward["lost between two calls"]
    assert row.problem.startswith("GPU is lost: ")
    assert (row.name, row.utilisation, row.processes) == ("NVIDIA RTX A4000", None, None)


def test_control_codes_in_a_name_do_not_come_through(ward):
    assert ward["control codes"].name == "NVIDIA␛[31m X"


def test_a_gpu_with_desktop_processes_only_gives_the_sentence_of_the_board(ward):
    assert sentences(GpuSnapshot(gpus=(ward["desktop"],))) == [
        "No active CUDA training/inference process detected in latest `nvidia-smi` check "
        "(only `C+G` desktop/system processes)."
    ]


def test_a_gpu_that_is_split_is_told_from_one_that_has_no_utilisation(nvml):
    split, whole, neither = look(nvml, gpu(0, "mig = on", "util = N/A"), gpu(1, "mig = off"), gpu(2, *NOTHING)).gpus
    assert (split.mig, split.utilisation, split.problem, split.note) == (True, None, None, None)
    assert (whole.mig, neither.mig) == (False, False)


def test_a_gpu_without_a_memory_of_its_own_tells_everything_else(nvml):
    (row,) = look(nvml, gpu(0, "mem_total = N/A", "util = 12", "proc = 1 C N/A 12")).gpus
    assert (row.memory_used, row.memory_total, row.utilisation, row.problem, row.note) == (None, None, 12, None, None)
    assert [(process.kind, process.memory, process.sm) for process in row.processes] == [("C", None, 12)]


def test_an_older_driver_without_the_third_version_of_the_calls_lists_processes_too(nvml, built):
    old = replace(nvml, library=built / "lib-old")
    (row,) = look(old, gpu(0, "proc = 1 C 2GiB", "proc = 2 C+G N/A")).gpus
    assert [(process.pid, process.kind, process.memory) for process in row.processes] == [
        (1, "C", 2 * GIB),
        (2, "C+G", None),
    ]
    assert row.processes_problem is None


@pytest.mark.parametrize(
    ("scenario", "words"),
    [
        ("init = DRIVER_NOT_LOADED", "NVIDIA driver"),
        ("init = VERSION_MISMATCH", "different versions"),
        ("init = NO_PERMISSION", "No permission"),
        ("init = UNKNOWN", "Unknown Error"),
        ("init = OK", "shows no GPU"),
        ("global_error = UNKNOWN\n[gpu]", "Unknown Error"),
        ("[gpu]\nstate = DRIVER_NOT_LOADED", "NVIDIA driver"),
        ("error.nvmlSystemGetDriverVersion = UNINITIALIZED\n[gpu]", "NVIDIA driver"),
    ],
)
def test_a_driver_that_does_not_work_is_one_sentence(nvml, scenario, words):
    snapshot = look(nvml, scenario)
    assert snapshot.gpus == ()
    assert words in snapshot.problem
    assert snapshot.problem.endswith(".")
    assert sentences(snapshot) == [snapshot.problem]


def test_no_library_is_one_sentence(tmp_path: Path):
    (tmp_path / "libnvidia-ml.so.1").write_text("no library")  # hides a real one
    snapshot = sample_once(20.0, environment={**os.environ, "LD_LIBRARY_PATH": str(tmp_path)})
    assert snapshot.gpus == ()
    assert "NVIDIA" in snapshot.problem


def test_a_hanging_driver_costs_a_command_no_more_than_its_timeout(nvml):
    nvml.becomes("latency.nvmlDeviceGetUtilizationRates = 600000000", gpu())
    started = time.monotonic()
    snapshot = sample_once(0.5, environment=nvml.environment)
    assert time.monotonic() - started < 20, "the driver takes ten minutes"
    assert "has not answered for 0.5 s" in snapshot.problem
    assert helpers() == []


def test_a_folder_with_a_module_of_pythons_own_name_does_no_harm(nvml, tmp_path, monkeypatch):
    (tmp_path / "json.py").write_text("raise SystemExit(7)")
    monkeypatch.chdir(tmp_path)
    assert look(nvml, gpu()).problem is None


def test_a_server_at_work_is_told_gpu_by_gpu(nvml, built):
    snapshot = look(nvml, (built / "a100x4.txt").read_text())
    lines = sentences(snapshot, {6554: "challenge_dual_head_v1"})
    assert lines[0] == (
        "GPU 0 (NVIDIA A100-SXM4-80GB): 97 % utilisation, 60.0 of 80.0 GiB; running `challenge_dual_head_v1`."
    )
    assert "2 processes of no known run: (pid 6555, `C`, 24.0 GiB) and (pid 6556, `C`, 5.0 GiB)." in lines[1]
    assert lines[2] == ("GPU 2 and GPU 3: no training or inference process (only `C+G` desktop/system processes).")
