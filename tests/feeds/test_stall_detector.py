"""When a GPU is called stalled: looks with plain values."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from xray_tui.feeds.stall_detector import MAX_SAMPLES, MIN_SAMPLES, StallDetector
from xray_tui.gpu.snapshot import GpuProcess, GpuSample, GpuSnapshot
from xray_tui.jobs.model.job import Job, JobSpec, Progress, State
from xray_tui.jobs.supervise.process_owners import Owner

PID = 100
UNET, DEEPLAB, ELSEWHERE = Owner("unet", "j1"), Owner("deeplab", "j2"), Owner("elsewhere", None)
OWNERS = {PID: UNET, PID + 1: UNET, 200: DEEPLAB, 300: ELSEWHERE}
STALLED = frozenset({"GPU-0"})
NOTHING: frozenset[str] = frozenset()


class Watch:
    """A GPU that is looked at every two seconds, and the job that computes on it."""

    def __init__(self) -> None:
        self.stalls = StallDetector()
        self.now = 1000.0
        self.done = 0
        self.phase = "train unet"
        self.pids: tuple[int, ...] = (PID,)

    def look(
        self,
        power: float | None,
        *,
        utilisation: int | None = 100,
        every: float = 2.0,
        stale: str | None = None,
        state: State = State.RUNNING,
        jobs: Iterable[Job] | None = None,
    ) -> frozenset[str]:
        self.now += every
        gpu = GpuSample(
            0,
            "GPU-0",
            "Pretended",
            utilisation=utilisation,
            power=power,
            processes=tuple(GpuProcess(pid, "C") for pid in self.pids),
        )
        progress = Progress(self.done, 10**6, "steps", self.phase)
        running = [Job("j1", JobSpec("train", "unet", ()), state, progress=progress)]
        snapshot = GpuSnapshot((gpu,), time=self.now, stale=stale)
        return self.stalls.judge(snapshot, OWNERS, running if jobs is None else jobs, self.now)

    def works(self, looks: int = 60, power: float | None = 300.0) -> set[frozenset[str]]:
        """The run gets on; all that was said."""
        said = set()
        for _ in range(looks):
            self.done += 1
            said.add(self.look(power))
        return said

    def hangs(self, seconds: float, power: float | None = 120.0, every: float = 2.0) -> list[frozenset[str]]:
        """No new step; what was said, look by look."""
        return [self.look(power, every=every) for _ in range(int(seconds / every))]


@pytest.fixture
def watch() -> Watch:
    return Watch()


def test_a_busy_gpu_without_a_new_step_for_two_minutes_at_low_power_is_stalled(watch: Watch) -> None:
    assert watch.works() == {NOTHING}
    said = watch.hangs(140)
    assert said == [NOTHING] * 59 + [STALLED] * 11
    assert watch.works(1) == {NOTHING}  # it gets on again


def test_one_that_gets_on_or_draws_its_norm_or_idles_is_not(watch: Watch) -> None:
    watch.works()
    assert watch.works(120, power=100.0) == {NOTHING}
    watch = Watch()
    watch.works()
    assert set(watch.hangs(600, power=190.0)) == {NOTHING}
    assert {watch.look(100.0, utilisation=each) for each in (94, 0, None) for _ in range(9)} == {NOTHING}


def test_one_look_at_low_power_among_others_says_nothing(watch: Watch) -> None:
    watch.works()
    watch.hangs(200, power=300.0)
    assert [watch.look(power) for power in (20.0, 300.0, 20.0, 300.0, 300.0)] == [NOTHING] * 5


def test_without_a_norm_nothing_is_said(watch: Watch) -> None:
    watch.works(MIN_SAMPLES - 1)
    assert set(watch.hangs(300)) == {NOTHING}
    assert set(Watch().hangs(900)) == {NOTHING}


def test_what_a_hang_draws_is_never_taken_for_the_norm(watch: Watch) -> None:
    watch.works(MIN_SAMPLES + 5)
    for _ in range(20):  # it gets on for a moment every few minutes
        assert watch.hangs(150)[-1] == STALLED
        watch.works(2)


def test_steps_of_several_minutes_each_give_no_norm(watch: Watch) -> None:
    for _ in range(20):
        assert set(watch.hangs(200, power=300.0)) == {NOTHING}
        watch.done += 1
    assert set(watch.hangs(400)) == {NOTHING}


def test_a_long_validation_that_moves_is_no_stall_and_one_that_hangs_is(watch: Watch) -> None:
    watch.works(MAX_SAMPLES)
    watch.phase, watch.done = "predict val", 0
    for _ in range(5):  # a batch of huge images a minute, at low power
        assert set(watch.hangs(60)) == {NOTHING}
        watch.done += 1
    assert watch.hangs(150)[-1] == STALLED


def test_the_same_count_in_another_phase_is_a_move(watch: Watch) -> None:
    watch.works()
    watch.hangs(100)
    watch.phase = "predict val"
    assert set(watch.hangs(100)) == {NOTHING}


def test_an_hour_in_which_nobody_looked_is_not_an_hour_without_a_step(watch: Watch) -> None:
    watch.works()
    watch.hangs(30)
    assert watch.look(120.0, every=3600.0) == NOTHING
    assert set(watch.hangs(80)) == {NOTHING}
    assert watch.hangs(20)[-1] == STALLED


def test_a_clock_that_is_set_back_counts_nothing(watch: Watch) -> None:
    watch.works()
    watch.hangs(30)
    assert watch.look(120.0, every=-5000.0) == NOTHING
    assert watch.hangs(100)[-1] == STALLED


def test_looks_at_a_strip_that_is_not_on_screen_are_close_enough(watch: Watch) -> None:
    watch.works()
    assert watch.hangs(130, every=6.0)[-1] == STALLED


def test_old_values_say_nothing_and_count_for_nothing(watch: Watch) -> None:
    watch.works()
    watch.hangs(110)
    assert {watch.look(120.0, stale="The driver does not answer.") for _ in range(60)} == {NOTHING}
    assert watch.hangs(8) == [NOTHING] * 4
    assert watch.hangs(8)[-1] == STALLED


def test_a_gpu_that_does_not_tell_its_power_is_never_judged(watch: Watch) -> None:
    watch.works(power=None)
    assert set(watch.hangs(300, power=None)) == {NOTHING}
    watch.works()
    assert set(watch.hangs(300, power=None)) == {NOTHING}


@pytest.mark.parametrize("pids", [(PID, 200), (PID, 300), (PID, 999), (300,), ()])
def test_power_that_is_not_one_job_s_own_tells_nothing(watch: Watch, pids: tuple[int, ...]) -> None:
    watch.works()
    watch.pids = pids
    assert set(watch.hangs(300)) == {NOTHING}


def test_several_processes_of_one_job_are_one(watch: Watch) -> None:
    watch.pids = (PID, PID + 1)
    watch.works()
    assert watch.hangs(140)[-1] == STALLED


def test_progress_that_cannot_be_read_for_once_is_no_move_and_no_end(watch: Watch) -> None:
    watch.works()
    watch.hangs(100)
    watch.look(120.0, jobs=[Job("j1", JobSpec("train", "unet", ()), State.RUNNING)])
    assert watch.hangs(30)[-1] == STALLED


def test_the_same_look_twice_counts_once(watch: Watch) -> None:
    watch.works(MIN_SAMPLES // 2)
    for _ in range(MIN_SAMPLES):
        watch.done += 1
        watch.now -= 2.0
        watch.look(300.0)
    assert set(watch.hangs(300)) == {NOTHING}


def test_a_job_that_has_ended_is_forgotten_and_memory_is_bounded(watch: Watch) -> None:
    watch.works(3 * MAX_SAMPLES)
    assert {len(power.moving) for power in watch.stalls._powers.values()} == {MAX_SAMPLES}
    watch.hangs(3 * MAX_SAMPLES)
    assert {len(power.since) for power in watch.stalls._powers.values()} == {MAX_SAMPLES}
    watch.look(300.0, state=State.SUCCEEDED)
    assert (watch.stalls._powers, watch.stalls._paces) == ({}, {})


def test_each_gpu_of_a_job_has_a_norm_of_its_own() -> None:
    stalls, said = StallDetector(), frozenset({"?"})
    for look in range(160):
        hanging = look > 60
        powers = (300.0, 100.0) if not hanging else (280.0, 40.0)
        gpus = tuple(
            GpuSample(index, f"GPU-{index}", "x", utilisation=99, power=power, processes=(GpuProcess(PID, "C"),))
            for index, power in enumerate(powers)
        )
        progress = Progress(60 if hanging else look, 1000, "steps", "train")
        job = Job("j1", JobSpec("train", "unet", ()), State.RUNNING, progress=progress)
        said = stalls.judge(GpuSnapshot(gpus, time=look * 2.0), OWNERS, [job], look * 2.0)
    assert said == {"GPU-1"}


def test_a_driver_that_is_gone_for_a_moment_leaves_the_norm(watch: Watch) -> None:
    watch.works()
    watch.stalls.judge(GpuSnapshot(time=watch.now, problem="Driver gone."), OWNERS, [], watch.now)
    assert watch.hangs(140)[-1] == STALLED
