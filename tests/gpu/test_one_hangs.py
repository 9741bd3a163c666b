"""A driver that hangs on one GPU: real helper processes with real calls that do not come back."""

from __future__ import annotations

import json
from dataclasses import replace

import psutil

from xray_tui.gpu import helper_process
from xray_tui.gpu.helper_process import HelperProcess
from xray_tui.gpu.sampler import sample_once
from xray_tui.gpu.snapshot import NO_ANSWER, GpuSnapshot, from_json

from .fake import HANDLE, ONE_HANGS, QUICK, UTILISATION, gpu, helpers, wait_until
from .test_sampler import start_helper


def hanging(snapshot: GpuSnapshot) -> list[int]:
    return [row.index for row in snapshot.gpus if row.problem == NO_ANSWER]


def test_one_gpu_hangs_and_comes_back_while_the_others_go_on(four, sample, seen):
    sample(backoff=ONE_HANGS)
    seen.until(lambda snapshot: len(snapshot.gpus) == 4)
    (helper,) = helpers()
    four.hangs(UTILISATION, 1)
    first = seen.until(lambda snapshot: hanging(snapshot) == [1])
    row = first.gpus[1]
    assert (row.uuid, row.name, row.utilisation, row.processes) == ("GPU-00000001", "NVIDIA RTX A4000", None, None)
    assert row.processes_problem == "no answer"
    assert row.since <= first.time
    four.becomes(*(gpu(index, f"util = {70 + index}") for index in range(4)))
    later = seen.until(lambda snapshot: [row.utilisation for row in snapshot.gpus] == [70, None, 72, 73])
    assert (later.gpus[1].since, later.stale) == (row.since, None)
    four.hangs(UTILISATION)
    back = seen.until(lambda snapshot: snapshot.gpus[1].utilisation == 71)
    assert (back.gpus[1].problem, back.gpus[1].since) == (None, None)
    assert helpers() == [helper], "nobody was killed for it"


def test_several_gpus_hang_at_once_and_the_last_one_goes_on(four, sample, seen):
    sample(backoff=replace(ONE_HANGS, silence=3.0))
    seen.until(lambda snapshot: len(snapshot.gpus) == 4)
    (helper,) = helpers()
    four.hangs(HANDLE, 0, 1, 2)
    seen.until(lambda snapshot: hanging(snapshot) == [0, 1, 2])
    four.becomes(*(gpu(index, "util = 7") for index in range(4)))
    rows = seen.until(lambda snapshot: snapshot.gpus[3].utilisation == 7).gpus
    assert [row.uuid for row in rows] == [f"GPU-{index:08d}" for index in range(4)]
    four.hangs(HANDLE)
    seen.until(lambda snapshot: [row.utilisation for row in snapshot.gpus] == [7] * 4)
    assert helpers() == [helper]


def test_when_all_gpus_hang_it_is_the_driver_and_a_new_helper_is_started(four, sample, seen):
    sample(backoff=replace(ONE_HANGS, silence=0.8))
    seen.until(lambda snapshot: len(snapshot.gpus) == 4)
    four.hangs(UTILISATION, 0, 1, 2, 3)
    stale = seen.until(lambda snapshot: snapshot.stale is not None)
    assert "has not answered" in stale.stale
    assert len(stale.gpus) == 4
    four.hangs(UTILISATION)
    seen.until(lambda snapshot: snapshot.stale is None and not hanging(snapshot))


def test_a_gpu_that_hangs_from_the_start_is_a_row_by_its_index(four, sample, seen):
    four.hangs(HANDLE, 2)
    sample(backoff=ONE_HANGS)
    rows = seen.until(lambda snapshot: hanging(snapshot) == [2]).gpus
    assert [row.name for row in rows] == ["NVIDIA RTX A4000", "NVIDIA RTX A4000", "GPU 2", "NVIDIA RTX A4000"]
    four.hangs(HANDLE)
    seen.until(lambda snapshot: snapshot.gpus[2].name == "NVIDIA RTX A4000")


def test_a_gpu_that_told_who_it_is_before_it_hung_is_known_at_the_first_look(four):
    four.hangs(UTILISATION, 2)
    with start_helper(four, "--patience", "0.2", "--once") as helper:
        row = from_json(json.loads(helper.stdout.readline())).gpus[2]
    assert (row.uuid, row.name, row.problem) == ("GPU-00000002", "NVIDIA RTX A4000", NO_ANSWER)


def test_hung_lost_and_forbidden_neighbours_cost_the_fourth_nothing(four, sample, seen):
    sample(backoff=ONE_HANGS)
    seen.until(lambda snapshot: len(snapshot.gpus) == 4)
    four.hangs(UTILISATION, 0)
    four.becomes(gpu(0), gpu(1, "state = GPU_IS_LOST"), gpu(2, "state = NO_PERMISSION"), gpu(3, "util = 33"))
    rows = seen.until(lambda snapshot: hanging(snapshot) == [0] and snapshot.gpus[3].utilisation == 33).gpus
    assert [(row.problem or "").partition(":")[0] for row in rows] == ["no answer", "GPU is lost", "no permission", ""]


def test_a_driver_that_is_unloaded_while_a_gpu_hangs_is_told_as_such(four, sample, seen):
    sample(backoff=ONE_HANGS)
    seen.until(lambda snapshot: len(snapshot.gpus) == 4)
    four.hangs(UTILISATION, 0)
    seen.until(lambda snapshot: hanging(snapshot) == [0])
    four.becomes(gpu(0), *(gpu(index, "state = DRIVER_NOT_LOADED") for index in (1, 2, 3)))
    assert "driver" in seen.until(lambda snapshot: snapshot.problem is not None).problem


def test_after_a_while_a_new_helper_tries_the_gpu_that_hangs(four, sample, seen):
    sample(backoff=replace(ONE_HANGS, stuck=0.2, longest_stuck=60.0))
    seen.until(lambda snapshot: len(snapshot.gpus) == 4)
    (first,) = helpers()
    four.hangs(HANDLE, 3)
    since = seen.until(lambda snapshot: hanging(snapshot) == [3]).gpus[3].since
    wait_until(lambda: not first.is_running() and len(helpers()) == 1)
    (second,) = helpers()
    while not seen.snapshots.empty():
        assert seen.snapshots.get().stale is None, "the change is not seen"
    row = seen.until(lambda snapshot: hanging(snapshot) == [3]).gpus[3]
    assert (row.uuid, row.name, row.since) == ("GPU-00000003", "NVIDIA RTX A4000", since)
    four.hangs(HANDLE)
    seen.until(lambda snapshot: not hanging(snapshot))
    assert helpers() == [second], "the next one would have come much later"


def test_helpers_that_cannot_be_killed_do_not_pile_up(nvml, sample, seen, monkeypatch):
    nvml.becomes("latency.nvmlInitWithFlags = 600000000", gpu())
    with monkeypatch.context() as unkillable:  # as a process is that hangs in the kernel
        unkillable.setattr(HelperProcess, "kill", lambda helper: None)
        unkillable.setattr(helper_process, "_GRACE", 0.05)
        sampler = sample(backoff=replace(QUICK, silence=0.1, longest_silence=30.0))
        for _ in range(3):
            seen.until(lambda snapshot: "3 of them hang" in (snapshot.problem or ""))
        assert "3 of them hang" in sample_once(20.0, environment=nvml.environment).problem
        assert len(helpers()) == 3
        nvml.becomes(gpu(0, "util = 9"))
        for helper in helpers():
            helper.kill()
        seen.until(lambda snapshot: bool(snapshot.gpus))
    sampler.stop()
    wait_until(lambda: not helpers())


def test_a_helper_in_which_a_gpu_hangs_ends_when_its_stdin_closes(four):
    four.hangs(UTILISATION, 1)
    with start_helper(four, "--patience", "0.1") as helper:
        helper.stdout.readline()
        helper.stdin.close()
        assert helper.wait(30) == 0
        assert helper.stderr.read() == b""


def test_a_helper_in_which_a_gpu_hangs_stays_small_and_keeps_its_threads_few(four):
    four.hangs(UTILISATION, 1)
    with start_helper(four, "--patience", "0.1") as helper:
        for _ in range(10):
            helper.stdout.readline()
        process = psutil.Process(helper.pid)
        assert process.num_threads() <= 5, "the main thread, and one for each GPU"
        assert process.memory_info().rss < 48 << 20
        helper.kill()
