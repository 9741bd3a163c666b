"""Pure parts of the GPU room, on plain values."""

from __future__ import annotations

import json
from dataclasses import replace

import pynvml
import pytest

from xray_tui.gpu.backoff import Backoff, HangDetector, doubled
from xray_tui.gpu.errors import why_no_driver, why_no_values
from xray_tui.gpu.host_probe import DriverFiles
from xray_tui.gpu.nvml import GpuState, merge, throttle_words
from xray_tui.gpu.snapshot import NO_ANSWER, GpuProcess, GpuSample, GpuSnapshot, from_json, keep_identity, to_json

BARE = DriverFiles(module=False, devices=False, container=False)

WORK = GpuProcess(7, "C", 5, name="python", sm=90)
FULL = GpuSnapshot(
    gpus=(
        GpuSample(0, "GPU-a", "A", 97, 1, 2, 60, 371.5, 400.0, 40, 1395, ("thermal slowdown",), (WORK,)),
        GpuSample(1, "GPU-b", "B", utilisation=0, processes=(), mig=True),
        GpuSample(2, "GPU-c", "C", processes=None, processes_problem="no permission"),
        GpuSample(3, "GPU-d", "D", problem="GPU is lost: reboot", since=3.5),
    ),
    time=12.25,
    driver="550.54.15",
)


def test_a_snapshot_comes_out_of_the_pipe_as_it_went_in():
    for snapshot in (FULL, GpuSnapshot(problem="No NVIDIA driver.", time=1.0)):
        assert from_json(json.loads(json.dumps(to_json(snapshot), allow_nan=False))) == snapshot


def test_a_line_of_a_newer_helper_is_still_read():
    values = to_json(FULL)
    values["gpus"][0]["encoder"] = 3
    values["gpus"][0]["processes"][0]["cgroup"] = "x"
    assert from_json({**values, "host": "gpu7"}) == FULL


@pytest.mark.parametrize("values", [{}, {"gpus": 3}, {"gpus": [{"index": 0}]}, {"gpus": ["x"]}, {"gpus": None}])
def test_something_else_than_a_snapshot_is_refused(values):
    with pytest.raises((KeyError, TypeError, ValueError, AttributeError)):
        from_json(values)


def test_age_counts_from_the_reading_and_is_never_negative():
    assert GpuSnapshot(time=100.0).age(112.0) == 12.0
    assert GpuSnapshot(time=100.0).age(99.0) == 0.0


def test_a_gpu_that_a_new_helper_finds_lost_keeps_its_name_and_its_time():
    nameless = GpuSnapshot(
        gpus=(
            GpuSample(0, "GPU-a", "A"),
            GpuSample(3, "", "GPU 3", problem="GPU is lost: reboot", since=90.0),
        ),
        time=90.0,
    )
    row = keep_identity(nameless, FULL).gpus[1]
    assert (row.uuid, row.name, row.since) == ("GPU-d", "D", 3.5)


def test_a_gpu_that_hangs_in_the_next_helper_too_hangs_since_it_began():
    before = GpuSnapshot(gpus=(GpuSample(0, "GPU-a", "A", problem=NO_ANSWER, since=100.0),), time=160.0)
    now = GpuSnapshot(gpus=(GpuSample(0, "GPU-a", "GPU 0", problem=NO_ANSWER, since=161.0),), time=161.0)
    (row,) = keep_identity(now, before).gpus
    assert (row.name, row.since) == ("A", 100.0)
    (other,) = keep_identity(replace(now, gpus=(replace(now.gpus[0], problem="GPU is lost"),)), before).gpus
    assert other.since == 161.0


def test_a_name_is_not_given_to_a_second_gpu():
    moved = GpuSnapshot(gpus=(GpuSample(0, "GPU-b", "B"), GpuSample(1, "", "GPU 1", problem="GPU is lost")))
    assert keep_identity(moved, FULL).gpus[1].uuid == ""


def test_a_process_in_two_lists_is_of_both_types():
    processes = merge({"M": [(12, 1), (14, 7)], "C": [(10, 5), (11, 9), (12, 1)], "G": [(11, 9), (13, 2)]})
    assert [(process.pid, process.kind) for process in processes] == [
        (11, "C+G"), (14, "M"), (10, "C"), (13, "G"), (12, "M+C"),
    ]  # fmt: skip


def test_memory_is_never_counted_twice_and_never_invented():
    processes = merge({"M": [], "C": [(1, 4), (1, 3), (2, None), (3, None)], "G": [(1, 7), (3, 6)]})
    assert {process.pid: process.memory for process in processes} == {1: 7, 2: None, 3: 6}


def test_only_heat_and_hardware_slow_a_gpu_down_in_words():
    assert throttle_words(0x4 | 0x1) == ()
    assert throttle_words(0x8) == ("hardware slowdown",)
    assert throttle_words(0x8 | 0x40) == ("hardware thermal slowdown",)
    assert throttle_words(0x20 | 0x80) == ("thermal slowdown", "power brake")


def test_a_cached_value_is_read_again_only_when_it_is_due():
    state, asked = GpuState("", "GPU 0"), []

    def ask() -> int:
        asked.append(1)
        return len(asked)

    ticks = (0.0, 1.0, 1.999, 3.0, 4.001)
    assert [state.cached("processes", 2.0, now, ask) for now in ticks] == [1, 1, 2, 2, 3]


def test_a_clock_that_is_set_back_does_not_freeze_a_cached_value():
    state = GpuState("", "GPU 0")
    state.cached("limit", 60.0, 1000.0, lambda: "old")
    assert state.cached("limit", 60.0, 10.0, lambda: "new") == "new"


def test_pauses_grow_to_their_longest():
    assert [doubled(1.0, times, 30.0) for times in (0, 1, 2, 5, 5000)] == [1, 2, 4, 30, 30]
    assert [Backoff().next_answer(interval) for interval in (1.0, 60.0)] == [5.0, 64.0]


@pytest.mark.parametrize("interval", [0.05, 1.0, 2.0, 5.0, 60.0])
def test_gpus_that_hang_never_make_the_next_line_so_late_that_the_helper_is_killed(interval):
    backoff = Backoff()
    assert interval + backoff.hang < backoff.next_answer(interval)
    assert backoff.hang < backoff.silence


def test_a_helper_in_which_a_gpu_hangs_is_replaced_ever_more_rarely_and_soon_again_after_it_came_back():
    hanging = GpuSnapshot(gpus=(GpuSample(0, "GPU-a", "A"), GpuSample(1, "GPU-b", "B", problem=NO_ANSWER)))
    lost = GpuSnapshot(gpus=(GpuSample(0, "GPU-a", "A"), GpuSample(1, "GPU-b", "B", problem="GPU is lost: reboot")))
    stuck = HangDetector(Backoff(stuck=60.0, longest_stuck=200.0))
    replaced = [second for second in range(1000) if stuck.should_replace(hanging, second)]
    assert replaced == [60, 60 + 121, 60 + 121 + 201, 60 + 121 + 2 * 201, 60 + 121 + 3 * 201, 60 + 121 + 4 * 201]
    assert not stuck.should_replace(lost, 1000.0)
    assert [second for second in range(1001, 1062) if stuck.should_replace(hanging, second)] == [1061]


@pytest.mark.parametrize("container", [False, True])
@pytest.mark.parametrize("module", [False, True])
@pytest.mark.parametrize("devices", [False, True])
@pytest.mark.parametrize("code", [1, 2, 3, 4, 9, 12, 18, 999])
def test_every_way_to_have_no_driver_is_one_plain_sentence(code, module, devices, container):
    sentence = why_no_driver(code, "Some Error", DriverFiles(module, devices, container))
    assert "NVIDIA" in sentence
    assert sentence.endswith(".")
    assert "\n" not in sentence
    assert ":" in sentence, "what to do comes after the colon"


def test_the_usual_ways_to_have_no_driver_are_told_apart():
    inside = DriverFiles(module=True, devices=False, container=True)
    assert why_no_driver(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND, "", BARE).startswith("No NVIDIA driver on this machine")
    assert "--gpus all" in why_no_driver(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND, "", inside)
    assert "--gpus all" in why_no_driver(pynvml.NVML_ERROR_DRIVER_NOT_LOADED, "", inside)
    assert "modprobe nvidia" in why_no_driver(pynvml.NVML_ERROR_DRIVER_NOT_LOADED, "", BARE)
    assert "reboot" in why_no_driver(pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH, "", BARE)
    assert "group" in why_no_driver(pynvml.NVML_ERROR_NO_PERMISSION, "", BARE)
    assert "daemon-reload" in why_no_driver(pynvml.NVML_ERROR_UNKNOWN, "Unknown Error", DriverFiles(True, True, True))
    assert "(Unknown Error)" in why_no_driver(pynvml.NVML_ERROR_UNKNOWN, "Unknown Error", BARE)


@pytest.mark.parametrize(
    "code",
    [
        pynvml.NVML_ERROR_GPU_IS_LOST,
        pynvml.NVML_ERROR_RESET_REQUIRED,
        pynvml.NVML_ERROR_NO_PERMISSION,
        pynvml.NVML_ERROR_TIMEOUT,
        pynvml.NVML_ERROR_UNKNOWN,
    ],
)
def test_a_gpu_without_values_says_so_in_a_word_and_then_what_to_do(code):
    word, _, advice = why_no_values(code, "Unknown Error").partition(": ")
    assert 0 < len(word) <= 16
    assert advice
    assert not advice.endswith(".")
