"""A minute of utilisation, look by look."""

from __future__ import annotations

import pytest

from xray_tui.gpu.history import Reading, averages, extended
from xray_tui.gpu.snapshot import GpuSample, GpuSnapshot

NOW = 1_771_115_940.0
"""A whole minute, so that slices begin where it does."""


def look(time: float, *utilisations: int | None, **more: object) -> GpuSnapshot:
    gpus = tuple(GpuSample(i, f"GPU-{i}", "A100", utilisation=value) for i, value in enumerate(utilisations))
    return GpuSnapshot(gpus=gpus, time=time, **more)  # type: ignore[arg-type]


def test_each_look_adds_a_reading_to_every_gpu():
    history = extended(extended({}, look(NOW, 10, 90)), look(NOW + 1, 20, None))
    assert history == {
        "GPU-0": (Reading(NOW, 10), Reading(NOW + 1, 20)),
        "GPU-1": (Reading(NOW, 90), Reading(NOW + 1, None)),
    }


def test_memory_and_power_are_shares_of_their_maximum():
    gpu = GpuSample(0, "GPU-0", "A100", memory_used=20, memory_total=80, power=300.0, power_limit=400.0)
    history = extended({}, GpuSnapshot((gpu,), time=NOW))
    assert history == {"GPU-0": (Reading(NOW, None, 25.0, 75.0),)}
    assert averages(history["GPU-0"], NOW, 1, "memory") == [25.0]
    assert averages(history["GPU-0"], NOW, 1, "power") == [75.0]


def test_readings_older_than_a_minute_are_dropped():
    history: dict = {}
    for second in range(200):
        history = extended(history, look(NOW + second, second % 100))
    times = [reading.time for reading in history["GPU-0"]]
    assert times == [NOW + second for second in range(139, 200)]


def test_old_figures_that_are_shown_again_add_nothing():
    history = extended({}, look(NOW, 10))
    assert extended(history, look(NOW, 10, stale="the driver hangs")) == history
    assert extended(history, GpuSnapshot(problem="no driver", time=NOW + 1)) == history


def test_a_gpu_that_has_gone_is_forgotten_and_one_without_a_uuid_has_no_history():
    history = extended(extended({}, look(NOW, 10, 20)), look(NOW + 1, 10))
    assert set(history) == {"GPU-0"}
    lost = GpuSnapshot(gpus=(GpuSample(0, "", "GPU 0", problem="GPU is lost"),), time=NOW)
    assert extended({}, lost) == {}


def test_a_clock_that_is_set_back_starts_a_new_minute():
    assert extended(extended({}, look(NOW, 10)), look(NOW - 3600, 20)) == {"GPU-0": (Reading(NOW - 3600, 20),)}


def test_a_minute_is_shown_as_means_of_equal_slices_the_newest_last():
    readings = [Reading(NOW + second, 100 if second < 30 else second % 2 * 40) for second in range(60)]
    assert averages(readings, NOW + 59, 4) == pytest.approx([100, 100, 56 / 3, 64 / 3])


def test_only_the_newest_slice_changes_from_one_look_to_the_next():
    readings = [Reading(NOW + second, second) for second in range(60)]
    before, after = (averages(readings[:count], NOW + count - 1, 20) for count in (50, 51))
    assert before[:-1] == after[:-1]
    assert before[-1] != after[-1]


def test_where_nothing_was_read_nothing_is_shown():
    readings = [Reading(NOW + 1, 50), Reading(NOW + 58, 70)]
    assert averages(readings, NOW + 59, 6) == [50, None, None, None, None, 70]
    assert averages([Reading(NOW, None)], NOW, 3) == [None, None, None]


def test_a_rarer_look_is_carried_over_the_seconds_until_the_next():
    readings = [Reading(NOW + second, 80) for second in range(0, 60, 5)]
    assert averages(readings, NOW + 59, 30) == [80] * 30
