"""What one look at a machine gives: the real pynvml, through the real helper process, on the stand-in NVML."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from xray_tui.gpu.sample import GpuSnapshot
from xray_tui.gpu.sampler import sample_once
from xray_tui.gpu.status import sentences

from .fake import FakeNvml, gpu, helpers

GIB = 1 << 30


def look(nvml: FakeNvml, *scenario: str) -> GpuSnapshot:
    if scenario:
        nvml.becomes(*scenario)
    return sample_once(20.0, environment=nvml.environment)


def test_every_value_of_a_working_gpu_is_read(nvml):
    card = gpu(
        0, "util = 97", "mem_total = 16GiB", "mem_used = 12GiB", "temp = 81", "power = 139.5", "power_limit = 140",
        "fan = 62", "sm_clock = 1335", "throttle = 0x48", "proc = 1 C 11GiB 96 50",
    )  # fmt: skip
    snapshot = look(nvml, "driver_version = 550.54.15", card)
    (row,) = snapshot.gpus
    assert (snapshot.driver, snapshot.problem, snapshot.stale) == ("550.54.15", None, None)
    assert (row.index, row.uuid, row.name) == (0, "GPU-00000000", "NVIDIA RTX A4000")
    assert (row.utilisation, row.temperature, row.fan, row.sm_clock) == (97, 81, 62, 1335)
    assert (row.power, row.power_limit) == (139.5, 140.0)
    assert (row.memory_used, row.memory_total) == (12 * GIB, 16 * GIB), "without the driver's reserve"
    assert row.throttle == ("hardware thermal slowdown",)
    assert (row.problem, row.note, row.processes_problem) == (None, None, None)
    (process,) = row.processes
    assert (process.pid, process.kind, process.memory, process.sm) == (1, "C", 11 * GIB, 96)
    assert process.started is not None


def test_processes_have_their_kind_their_name_and_their_memory_or_none(nvml):
    mine = os.getpid()
    snapshot = look(
        nvml,
        gpu(0, f"proc = {mine} C 3GiB 80", "proc = 4194301 C+G 2GiB", "proc = 4194302 G N/A", "proc = 4194303 M 1GiB"),
    )
    (row,) = snapshot.gpus
    assert [(p.pid, p.kind, p.memory, p.sm) for p in row.processes] == [
        (mine, "C", 3 * GIB, 80),
        (4194301, "C+G", 2 * GIB, 0),
        (4194303, "M", GIB, 0),
        (4194302, "G", None, 0),
    ]
    first, unseen = row.processes[:2]
    assert "python" in first.name or "pytest" in first.name
    assert "pytest" in first.command
    assert (unseen.name, unseen.user, unseen.command, unseen.started) == (None, None, None, None)


def test_an_idle_gpu_without_processes_is_read_as_such(nvml):
    (row,) = look(nvml).gpus
    assert row.processes == ()
    assert row.utilisation == 0


def test_an_older_driver_without_the_third_version_of_the_calls_lists_processes_too(nvml, built):
    old = replace(nvml, library=built / "lib-old")
    (row,) = look(old, gpu(0, "proc = 1 C 2GiB", "proc = 2 C+G N/A")).gpus
    assert [(process.pid, process.kind, process.memory) for process in row.processes] == [
        (1, "C", 2 * GIB),
        (2, "C+G", None),
    ]
    assert row.processes_problem is None


def test_a_driver_without_the_second_memory_call_is_read_by_the_first(nvml):
    (row,) = look(nvml, "error.nvmlDeviceGetMemoryInfo_v2 = 13", gpu(0, "mem_used = 2GiB", "mem_reserved = 1GiB")).gpus
    assert row.memory_used == 3 * GIB
    assert row.note is None


@pytest.mark.parametrize("missing", ["nvmlDeviceGetTemperatureV", "nvmlDeviceGetTemperature"])
def test_either_temperature_call_will_do(nvml, missing):
    (row,) = look(nvml, f"error.{missing} = NOT_SUPPORTED", gpu(0, "temp = 55")).gpus
    assert row.temperature == 55


def test_a_gpu_that_supports_nothing_keeps_its_row_with_no_values_and_no_fault(nvml):
    nothing = [f"{key} = N/A" for key in ("util", "mem_total", "temp", "power", "power_limit", "sm_clock", "throttle")]
    (row,) = look(nvml, gpu(0, *nothing)).gpus
    values = (row.utilisation, row.memory_used, row.memory_total, row.temperature, row.power, row.power_limit)
    assert values == (None,) * 6
    assert (row.fan, row.sm_clock, row.throttle) == (None, None, ())
    assert (row.problem, row.note) == (None, None)
    assert row.name == "NVIDIA RTX A4000"


def test_no_permission_on_one_of_four_leaves_its_row_and_the_others(nvml):
    snapshot = look(nvml, gpu(0), gpu(1), gpu(2, "state = NO_PERMISSION"), gpu(3, "util = 50"))
    assert [row.problem is None for row in snapshot.gpus] == [True, True, False, True]
    assert snapshot.gpus[2].problem.startswith("no permission: ")
    assert snapshot.gpus[2].processes is None
    assert snapshot.gpus[3].utilisation == 50
    assert [row.index for row in snapshot.gpus] == [0, 1, 2, 3]


def test_a_process_list_that_may_not_be_read_is_unavailable(nvml):
    refused = [f"error.nvmlDeviceGetComputeRunningProcesses_v{version} = NO_PERMISSION" for version in (2, 3)]
    (row,) = look(nvml, *refused, gpu(0, "util = 12")).gpus
    assert (row.processes, row.processes_problem) == (None, "no permission")
    assert row.utilisation == 12
    assert row.problem is None


def test_a_gpu_without_graphics_and_mps_lists_has_compute_processes(nvml):
    missing = [
        f"error.nvmlDeviceGet{kind}RunningProcesses_v{version} = NOT_SUPPORTED"
        for kind in ("Graphics", "MPSCompute")
        for version in (2, 3)
    ]
    (row,) = look(nvml, *missing, gpu(0, "proc = 1 C 1GiB")).gpus
    assert [process.kind for process in row.processes] == ["C"]


def test_one_call_that_fails_costs_one_value_and_is_noted(nvml):
    (row,) = look(nvml, "error.nvmlDeviceGetPowerUsage = UNKNOWN", gpu(0, "util = 30")).gpus
    assert (row.power, row.utilisation, row.problem) == (None, 30, None)
    assert row.note == "power: Unknown Error"


def test_a_gpu_lost_between_two_calls_is_lost(nvml):
    first, second = look(nvml, gpu(0, "error.nvmlDeviceGetPowerUsage = GPU_IS_LOST"), gpu(1)).gpus
    assert first.problem.startswith("GPU is lost: ")
    assert (first.name, first.utilisation) == ("NVIDIA RTX A4000", None)
    assert second.problem is None


def test_sixteen_gpus_are_sixteen_rows(nvml):
    snapshot = look(nvml, *(gpu(index, f"util = {index}") for index in range(16)))
    assert [row.utilisation for row in snapshot.gpus] == list(range(16))


def test_control_codes_in_a_name_do_not_come_through(nvml):
    (row,) = look(nvml, "[gpu]\nname = NVIDIA\x1b[31m X\nuuid = GPU-1").gpus
    assert row.name == "NVIDIA␛[31m X"


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
    assert time.monotonic() - started < 2.0
    assert "has not answered for 0.5 s" in snapshot.problem
    assert helpers() == []


def test_a_folder_with_a_module_of_pythons_own_name_does_no_harm(nvml, tmp_path, monkeypatch):
    (tmp_path / "json.py").write_text("raise SystemExit(7)")
    monkeypatch.chdir(tmp_path)
    assert look(nvml).problem is None


def test_four_servers_gpus_as_they_come_in_the_shared_scenario(nvml, built):
    snapshot = look(nvml, (built / "a100x4.txt").read_text())
    lines = sentences(snapshot, {6554: "challenge_dual_head_v1"})
    assert lines[0] == (
        "GPU 0 (NVIDIA A100-SXM4-80GB): 97 % utilisation, 60.0 of 80.0 GiB; running `challenge_dual_head_v1`."
    )
    assert "2 processes of no known run: (pid 6555, `C`, 24.0 GiB) and (pid 6556, `C`, 5.0 GiB)." in lines[1]
    assert lines[2] == ("GPU 2 and GPU 3: no training or inference process (only `C+G` desktop/system processes).")


def test_a_gpu_with_desktop_processes_only_gives_the_sentence_of_the_board(nvml):
    snapshot = look(nvml, gpu(0, "proc = 6557 C+G 120MiB 2", "proc = 6558 C+G 60MiB 1"))
    assert sentences(snapshot) == [
        "No active CUDA training/inference process detected in latest `nvidia-smi` check "
        "(only `C+G` desktop/system processes)."
    ]
