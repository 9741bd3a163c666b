"""The sampler through bad times: real helper processes on the stand-in NVML, whose machine changes under them."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import replace

import psutil
import pytest

from xray_tui.gpu.backoff import Backoff
from xray_tui.gpu.helper_process import HelperProcess
from xray_tui.gpu.sampler import Sampler, sample_once
from xray_tui.gpu.snapshot import GpuSnapshot

from .fake import IMPATIENT, QUICK, Seen, gpu, helpers, wait_until

HANGS = "latency.nvmlDeviceGetUtilizationRates = 600000000"


def test_values_follow_the_machine(nvml, sample, seen):
    sample()
    seen.until(lambda snapshot: snapshot.gpus[0].utilisation == 0)
    nvml.becomes(gpu(0, "util = 88"))
    seen.until(lambda snapshot: snapshot.gpus[0].utilisation == 88)


def test_one_gpu_is_lost_and_comes_back_while_the_other_goes_on(nvml, sample, seen):
    nvml.becomes(gpu(0, "util = 10"), gpu(1, "util = 20"))
    sample()
    seen.until(lambda snapshot: len(snapshot.gpus) == 2)
    nvml.becomes(gpu(0, "util = 11"), gpu(1, "state = GPU_IS_LOST"))
    lost = seen.until(lambda snapshot: snapshot.gpus[1].problem is not None)
    row = lost.gpus[1]
    assert (row.index, row.uuid, row.name) == (1, "GPU-00000001", "NVIDIA RTX A4000")
    assert row.problem.startswith("GPU is lost")
    assert (row.utilisation, row.processes) == (None, None)
    assert lost.gpus[0].utilisation == 11
    later = seen.until(lambda snapshot: snapshot.time > lost.time)
    assert later.gpus[1].since == row.since == lost.time
    nvml.becomes(gpu(0), gpu(1, "util = 21"))
    back = seen.until(lambda snapshot: snapshot.gpus[1].problem is None)
    assert (back.gpus[1].utilisation, back.gpus[1].since) == (21, None)


def test_a_hang_is_told_with_the_last_values_and_their_age_and_ends_by_itself(nvml, sample, seen):
    nvml.becomes(gpu(0, "util = 42"))
    sample(backoff=IMPATIENT)
    seen.until(lambda snapshot: snapshot.gpus[0].utilisation == 42)
    nvml.becomes(HANGS, gpu(0, "util = 43"))
    stale = seen.until(lambda snapshot: snapshot.stale is not None)
    assert stale.gpus[0].utilisation == 42
    assert stale.age(time.time()) >= IMPATIENT.silence * 0.9
    assert "has not answered" in stale.stale
    nvml.becomes(gpu(0, "util = 44"))
    back = seen.until(lambda snapshot: snapshot.gpus[0].utilisation == 44)
    assert back.stale is None
    assert len(helpers()) == 1


def test_a_driver_that_hangs_from_the_start_is_a_problem_not_a_silence(nvml, sample, seen):
    nvml.becomes(HANGS, gpu())
    sample(backoff=IMPATIENT)
    first = seen.until(lambda snapshot: True)
    assert "has not answered" in first.problem


def test_stop_returns_at_once_while_the_driver_hangs_and_leaves_no_process(nvml, sample, seen):
    nvml.becomes(HANGS, gpu())
    sampler = sample(backoff=Backoff(silence=60.0))
    wait_until(lambda: len(helpers()) == 1)
    started = time.monotonic()
    sampler.stop()
    assert time.monotonic() - started < 10, "a minute is what it would wait for the driver"
    wait_until(lambda: not helpers())
    assert seen.snapshots.empty()


def test_stop_in_a_long_pause_ends_the_thread(nvml, sample, seen):
    nvml.becomes("init = DRIVER_NOT_LOADED")
    sampler = sample(backoff=Backoff(absent=600.0))
    seen.until(lambda snapshot: snapshot.problem is not None)
    sampler.stop()
    wait_until(lambda: not any(thread.name == "gpu-sampler" for thread in threading.enumerate()))


def test_a_machine_without_a_driver_is_looked_at_rarely(nvml, sample, seen):
    nvml.becomes("init = DRIVER_NOT_LOADED")
    sample(backoff=Backoff(restart=0.05, longest_restart=0.05))
    assert seen.until(lambda snapshot: True).problem is not None
    wait_until(lambda: not helpers())
    time.sleep(0.5)
    assert seen.snapshots.empty()
    assert helpers() == []


def test_a_driver_that_is_loaded_later_is_found(nvml, sample, seen):
    nvml.becomes("init = DRIVER_NOT_LOADED")
    sample()
    seen.until(lambda snapshot: snapshot.problem is not None)
    nvml.becomes(gpu(0, "util = 5"))
    assert seen.until(lambda snapshot: bool(snapshot.gpus)).gpus[0].utilisation == 5


def test_a_driver_that_is_unloaded_and_loaded_comes_back(nvml, sample, seen):
    sample()
    seen.until(lambda snapshot: bool(snapshot.gpus))
    nvml.becomes("init = DRIVER_NOT_LOADED", "global_error = DRIVER_NOT_LOADED", gpu())
    assert "driver" in seen.until(lambda snapshot: snapshot.problem is not None).problem
    nvml.becomes(gpu())
    seen.until(lambda snapshot: bool(snapshot.gpus))


def test_a_count_of_gpus_that_changes_is_followed(nvml, sample, seen):
    sample()
    for count in (4, 2, 16, 1):
        nvml.becomes(*(gpu(index) for index in range(count)))
        rows = seen.until(lambda snapshot, count=count: len(snapshot.gpus) == count).gpus
        assert [row.uuid for row in rows] == [f"GPU-{index:08d}" for index in range(count)]


def test_gpus_that_all_leave_and_come_back_are_followed(nvml, sample, seen):
    sample()
    seen.until(lambda snapshot: bool(snapshot.gpus))
    nvml.becomes("init = OK")
    assert "shows no GPU" in seen.until(lambda snapshot: snapshot.problem is not None).problem
    nvml.becomes(gpu(0), gpu(1))
    seen.until(lambda snapshot: len(snapshot.gpus) == 2)


def test_a_gpu_that_takes_the_place_of_another_is_not_taken_for_it(nvml, sample, seen):
    nvml.becomes(gpu(0, "name = Old", "power_limit = 100"), gpu(1, "name = Stays"))
    sample()
    seen.until(lambda snapshot: len(snapshot.gpus) == 2)
    nvml.becomes(gpu(1, "name = Stays"), gpu(7, "name = New", "power_limit = 700"))
    rows = seen.until(lambda snapshot: snapshot.gpus[1].uuid == "GPU-00000007").gpus
    assert [(row.uuid, row.name) for row in rows] == [("GPU-00000001", "Stays"), ("GPU-00000007", "New")]
    assert rows[1].power_limit == 700, "what was read of the other, less than a minute ago, does not count"


def test_two_gpus_that_cannot_be_asked_are_not_taken_for_the_same_one(nvml, sample, seen):
    mute = "error.nvmlDeviceGetHandleByIndex_v2 = UNKNOWN"
    nvml.becomes(gpu(0), gpu(1), gpu(2))
    sample()
    seen.until(lambda snapshot: len(snapshot.gpus) == 3)
    nvml.becomes(gpu(0), gpu(2), gpu(3, mute))  # GPU 1 has fallen off the bus, and the others moved up
    seen.until(lambda snapshot: snapshot.gpus[1].uuid == "GPU-00000002" and snapshot.gpus[2].problem is not None)
    nvml.becomes(gpu(0), gpu(2, mute), gpu(3, mute))
    rows = seen.until(lambda snapshot: snapshot.gpus[1].problem is not None).gpus
    assert [row.uuid for row in rows] == ["GPU-00000000", "GPU-00000002", ""]


def test_a_helper_that_is_killed_from_outside_is_replaced(nvml, sample, seen):
    sample()
    seen.until(lambda snapshot: bool(snapshot.gpus))
    (first,) = helpers()
    first.kill()
    assert "signal 9" in seen.until(lambda snapshot: snapshot.stale is not None).stale
    seen.until(lambda snapshot: snapshot.stale is None)
    (second,) = helpers()
    assert second.pid != first.pid


def test_a_lost_gpu_is_known_by_name_to_the_next_helper(nvml, sample, seen):
    nvml.becomes(gpu(0), gpu(1))
    sample()
    seen.until(lambda snapshot: len(snapshot.gpus) == 2)
    nvml.becomes(gpu(0), gpu(1, "state = GPU_IS_LOST"))
    since = seen.until(lambda snapshot: snapshot.gpus[1].problem is not None).gpus[1].since
    helpers()[0].kill()
    seen.until(lambda snapshot: snapshot.stale is not None)
    row = seen.until(lambda snapshot: snapshot.stale is None).gpus[1]
    assert (row.uuid, row.name, row.since) == ("GPU-00000001", "NVIDIA RTX A4000", since)


def test_a_process_that_turns_from_desktop_to_compute_is_seen(nvml, sample, seen):
    nvml.becomes(gpu(0, "proc = 1 C+G 1GiB"))
    sample()
    seen.until(lambda snapshot: snapshot.gpus[0].processes[0].kind == "C+G")
    nvml.becomes(gpu(0, "proc = 1 C 1GiB"))
    seen.until(lambda snapshot: snapshot.gpus[0].processes[0].kind == "C")


def test_another_interval_counts_from_now_on(sample, seen):
    sampler = sample(interval=60.0)
    seen.until(lambda snapshot: bool(snapshot.gpus))
    sampler.set_interval(0.05)
    for _ in range(3):
        seen.until(lambda snapshot: bool(snapshot.gpus))
    (helper,) = helpers()
    sampler.set_interval(60.0)
    came = 0
    with suppress(queue.Empty):
        while came < 20:
            seen.snapshots.get(timeout=1.0)
            came += 1
    assert came < 20, "what was under way, and then no more"
    assert helper.is_running()


def test_who_looks_again_after_a_slow_pace_need_not_wait_for_the_next_look(sample, seen):
    waits: list[float] = []
    sampler = sample(interval=600.0)
    seen.until(lambda snapshot: bool(snapshot.gpus))
    while len(waits) < 3 and min(waits, default=9.0) >= 1.7:  # a busy machine may hold up one or two
        sampler.set_interval(600.0)
        time.sleep(2.0)
        while not seen.snapshots.empty():
            seen.snapshots.get()
        begun = time.monotonic()
        sampler.set_interval(2.0)
        seen.until(lambda snapshot: bool(snapshot.gpus))
        waits.append(time.monotonic() - begun)
    assert min(waits) < 1.7


def test_neither_another_interval_nor_the_end_waits_for_a_helper_that_is_slow_to_start(nvml, seen, monkeypatch):
    starting, go_on = threading.Event(), threading.Event()

    def slow(*arguments: object) -> HelperProcess:
        starting.set()
        assert go_on.wait(60)
        return HelperProcess(*arguments)

    monkeypatch.setattr("xray_tui.gpu.sampler.HelperProcess", slow)
    sampler = Sampler(seen.snapshots.put, 600.0, environment=nvml.environment, backoff=QUICK)
    sampler.start()
    assert starting.wait(30)
    begun = time.monotonic()
    sampler.set_interval(0.05)
    assert time.monotonic() - begun < 20
    go_on.set()
    for _ in range(2):
        seen.until(lambda snapshot: bool(snapshot.gpus))
    go_on.clear()
    starting.clear()
    helpers()[0].kill()
    assert starting.wait(30)
    begun = time.monotonic()
    sampler.stop()
    assert time.monotonic() - begun < 20
    go_on.set()
    wait_until(lambda: not helpers() and not any(thread.name == "gpu-sampler" for thread in threading.enumerate()))


def test_a_slower_interval_is_not_taken_for_a_hang(sample, seen):
    sampler = sample(interval=0.05, backoff=replace(IMPATIENT, hang=2.0))  # 4 s for a busy machine to answer
    seen.until(lambda snapshot: bool(snapshot.gpus))
    sampler.set_interval(IMPATIENT.silence + 0.4)
    (helper,) = helpers()
    began = seen.until(lambda snapshot: True).time
    while seen.until(lambda snapshot: True).time < began + IMPATIENT.silence:
        pass
    assert helpers() == [helper]


def test_who_was_busy_or_suspended_gets_the_newest_sample_not_the_backlog(nvml):
    seen = Seen()

    def slow(snapshot: GpuSnapshot) -> None:
        seen.snapshots.put(snapshot)
        if seen.snapshots.qsize() == 1:
            time.sleep(0.6)

    sampler = Sampler(slow, 0.05, environment=nvml.environment, backoff=QUICK)
    sampler.start()
    try:
        wait_until(lambda: seen.snapshots.qsize() >= 2)
        first, second = seen.snapshots.get(), seen.snapshots.get()
        assert second.time - first.time > 0.4
    finally:
        sampler.stop()


def test_after_an_error_of_its_reader_it_samples_again_and_says_so(nvml):
    seen, said = Seen(), []

    def fails_once(snapshot: GpuSnapshot) -> None:
        if not said:
            raise KeyError("x")
        seen.snapshots.put(snapshot)

    sampler = Sampler(fails_once, 0.05, environment=nvml.environment, backoff=QUICK, on_failure=said.append)
    sampler.start()
    try:
        assert seen.snapshots.get(timeout=30).gpus
        wait_until(lambda: len(said) == 2)
    finally:
        sampler.stop()
    assert said == ["! reading the GPUs failed: KeyError: 'x'; next try in 1 s", ""]


def test_a_helper_that_ends_by_an_error_leaves_its_traceback_in_the_log_file(nvml, tmp_path):
    code = (
        "from xray_tui.gpu.helper_main import Driver, main\n"
        "Driver.snapshot = lambda *_: {}['x']\n"
        "raise SystemExit(main([]))"
    )
    environment = {**os.environ, **nvml.environment, "XDG_STATE_HOME": str(tmp_path)}
    with subprocess.Popen([sys.executable, "-c", code], env=environment, stdin=subprocess.PIPE) as helper:
        assert helper.wait(30) == 1
    assert "the GPU helper process failed\nTraceback" in (tmp_path / "xray-tui/xray-tui.log").read_text()


def test_who_was_suspended_for_long_does_not_take_that_for_a_hang(nvml):
    code = (
        "import time\nfrom xray_tui.gpu.backoff import Backoff\nfrom xray_tui.gpu.sampler import Sampler\n"
        "Sampler(lambda s: print(s.stale or s.problem, flush=True), 0.5, "
        "backoff=Backoff(silence=4.0, hang=1.0)).start()\n"
        "time.sleep(60)"
    )
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=nvml.environment) as process:
        try:
            assert [process.stdout.readline().strip() for _ in range(2)] == ["None", "None"]
            time.sleep(0.1)  # so that it waits for the next line
            process.send_signal(signal.SIGSTOP)
            time.sleep(4.5)
            process.send_signal(signal.SIGCONT)
            assert process.stdout.readline().strip() == "None"
        finally:
            process.kill()


def test_ctrl_c_in_the_terminal_does_not_reach_the_helper(sample, seen):
    sample()
    seen.until(lambda snapshot: bool(snapshot.gpus))
    (helper,) = helpers()
    assert os.getpgid(helper.pid) != os.getpgid(0)


def test_an_environment_is_inherited_where_none_is_given(nvml, seen: Seen, monkeypatch):
    for name in ("LD_LIBRARY_PATH", "FAKENVML_SCENARIO"):
        monkeypatch.setenv(name, nvml.environment[name])
    sampler = Sampler(seen.snapshots.put, 0.05)
    sampler.start()
    try:
        assert seen.until(lambda snapshot: True).gpus[0].uuid == "GPU-00000000"
    finally:
        sampler.stop()


def start_helper(nvml, *arguments: str, **options) -> subprocess.Popen:
    command = [sys.executable, "-P", "-m", "xray_tui.gpu.helper_main", "--interval", "0.05", *arguments]
    return subprocess.Popen(
        command, env=nvml.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options
    )


def test_each_value_is_asked_at_its_own_pace_and_the_dear_ones_never(nvml):
    nvml.becomes(gpu(0, "proc = 1 C 1GiB 50"), gpu(1), gpu(2), gpu(3))
    started = time.monotonic()
    with start_helper(nvml) as helper:
        for _ in range(12):
            helper.stdout.readline()
        helper.stdin.close()
        looks = 12 + len(helper.stdout.read().splitlines())
    seconds = time.monotonic() - started
    calls = {name: int(count) / 4 for name, count in map(str.split, nvml.counts.read_text().splitlines())}
    each = ("UtilizationRates", "MemoryInfo_v2", "PowerUsage", "ClockInfo", "UUID", "HandleByIndex_v2")
    assert [calls.pop(f"nvmlDeviceGet{name}") for name in each] == [looks] * len(each)
    for every, names in (
        (2, ("GraphicsRunningProcesses_v3", "MPSComputeRunningProcesses_v3")),
        (5, ("TemperatureV", "FanSpeed", "CurrentClocksEventReasons")),
        (60, ("Name", "MigMode", "EnforcedPowerLimit")),
    ):
        for name in names:
            assert 1 <= calls.pop(f"nvmlDeviceGet{name}") <= 1 + seconds / (0.95 * every)
    # pynvml calls twice for a list that is not empty: for its length, and for what is in it.
    assert 5 / 4 <= calls.pop("nvmlDeviceGetComputeRunningProcesses_v3") <= 5 / 4 * (1 + seconds / 1.9)
    assert 2 / 4 <= calls.pop("nvmlDeviceGetProcessUtilization") <= 2 / 4 * (1 + seconds / 1.9)
    assert sorted(calls) == ["nvmlDeviceGetCount_v2", "nvmlInitWithFlags", "nvmlSystemGetDriverVersion"], "no more"


@pytest.mark.parametrize("noise", ["echo the library says this; sleep 0.02", "printf no-line-ends"])
def test_a_helper_that_prints_something_else_counts_as_silent(nvml, sample, seen, noise, tmp_path, monkeypatch):
    program = tmp_path / "python"
    program.write_text(f"#!/bin/sh\nwhile :; do {noise}; done\n")
    program.chmod(0o755)
    monkeypatch.setattr("xray_tui.gpu.helper_process.sys.executable", str(program))
    assert "has not answered for 0.3 s" in sample_once(0.3, environment=nvml.environment).problem
    sample(backoff=replace(QUICK, silence=0.3))
    assert "has not answered" in seen.until(lambda snapshot: True).problem


def test_a_helper_that_is_stopped_and_continued_goes_on(sample, seen):
    sample()
    seen.until(lambda snapshot: bool(snapshot.gpus))
    (helper,) = helpers()
    helper.suspend()
    time.sleep(0.3)
    asked = time.time()
    helper.resume()
    assert seen.until(lambda snapshot: snapshot.time >= asked).stale is None
    assert helpers() == [helper]


def test_a_helper_that_is_stopped_for_long_is_replaced(sample, seen):
    sample(backoff=replace(IMPATIENT, silence=1.0))
    seen.until(lambda snapshot: bool(snapshot.gpus))
    (first,) = helpers()
    first.suspend()
    assert "has not answered" in seen.until(lambda snapshot: snapshot.stale is not None).stale
    seen.until(lambda snapshot: snapshot.stale is None)
    assert not first.is_running()


def test_a_helper_whose_parent_ended_before_it_had_begun_does_not_hang_alone(nvml):
    nvml.becomes("latency.nvmlInitWithFlags = 600000000", gpu())
    ours, theirs = os.pipe()
    os.close(theirs)
    command = [sys.executable, "-P", "-m", "xray_tui.gpu.helper_main"]
    with subprocess.Popen(command, env=nvml.environment, stdin=ours, stdout=subprocess.DEVNULL) as helper:
        os.close(ours)
        try:
            assert helper.wait(30) == 0
        finally:
            helper.kill()


def test_the_helper_ends_when_its_stdin_closes(nvml):
    with start_helper(nvml) as helper:
        helper.stdout.readline()
        helper.stdin.close()
        assert helper.wait(30) == 0
        assert helper.stderr.read() == b""


def test_the_helper_ends_when_nobody_reads(nvml):
    with start_helper(nvml) as helper:
        helper.stdout.readline()
        helper.stdout.close()
        assert helper.wait(30) == 0
        assert helper.stderr.read() == b""


def test_a_hanging_helper_dies_with_a_parent_that_is_killed(nvml):
    nvml.becomes(HANGS, gpu())
    parent_code = (
        "import subprocess, sys, time\n"
        "helper = subprocess.Popen([sys.executable, '-P', '-m', 'xray_tui.gpu.helper_main'],"
        " stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)\n"
        "print(helper.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", parent_code], env=nvml.environment, stdout=subprocess.PIPE)
    helper = psutil.Process(int(parent.stdout.readline()))
    wait_until(lambda: any("libnvidia-ml" in region.path for region in helper.memory_maps()))
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    wait_until(lambda: not helper.is_running() or helper.status() == psutil.STATUS_ZOMBIE)


def test_the_helper_is_small(nvml):
    with start_helper(nvml) as helper:
        helper.stdout.readline()
        memory = psutil.Process(helper.pid).memory_info().rss
        helper.kill()
    assert memory < 48 << 20


def test_neither_the_helper_nor_the_sampler_loads_what_it_does_not_need():
    code = (
        "import sys, xray_tui.gpu.{module}\n"
        "print(sorted({{'textual', 'pydantic', 'numpy', 'torch', 'psutil', 'pynvml'}} & set(sys.modules)))"
    )
    for module, loaded in (("helper_main", "['pynvml']"), ("sampler", "[]"), ("export_text", "[]")):
        said = subprocess.run(
            [sys.executable, "-c", code.format(module=module)], capture_output=True, text=True, check=True
        )
        assert said.stdout.strip() == loaded
