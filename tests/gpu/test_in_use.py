"""When a GPU is in use though no process is listed on it: the rule, and its four users on the same samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from xray_tui.doctor.checks.gpus import judge_use
from xray_tui.gpu.export_text import sentences
from xray_tui.gpu.in_use import RecentUse, Use, extended, judge, unexplained_use
from xray_tui.gpu.snapshot import GpuProcess, GpuSample, GpuSnapshot
from xray_tui.jobs.queue.allocation import Machine, Place, allot
from xray_tui.jobs.queue.availability import standings
from xray_tui.jobs.queue.tickets import Ticket

MIB, GIB = 1 << 20, 1 << 30
IDLE = GpuSample(0, "GPU-0", "A4000", utilisation=0, memory_used=600 * MIB, memory_total=16 * GIB, processes=())
FULL = replace(IDLE, memory_used=14 * GIB)
BUSY = replace(IDLE, utilisation=97)
UNLISTED = replace(IDLE, processes=None, processes_problem="no permission")
XORG = GpuProcess(6557, "C+G", 420 * MIB, "Xorg", sm=3)


def sampled(gpus: Sequence[GpuSample], every: float = 5.0, held: Sequence[str] = ()) -> RecentUse:
    """The recent samples after these samples of one GPU, the last one newest."""
    samples: RecentUse = {}
    for place, gpu in enumerate(gpus):
        samples = extended(samples, GpuSnapshot((gpu,), time=1000.0 + every * place), held)
    return samples


@pytest.mark.parametrize(
    ("samples", "use"),
    [
        ([IDLE], Use.FREE),
        ([FULL], Use.PERHAPS),
        ([BUSY], Use.PERHAPS),
        ([FULL, FULL], Use.IN_USE),
        ([FULL, BUSY], Use.IN_USE),
        ([BUSY, IDLE], Use.PERHAPS),
        ([BUSY, IDLE, BUSY], Use.IN_USE),
        ([BUSY, BUSY, IDLE], Use.IN_USE),
        ([BUSY, IDLE, IDLE], Use.FREE),
        ([IDLE, BUSY, IDLE], Use.FREE),
        ([IDLE, IDLE, BUSY], Use.PERHAPS),
        ([BUSY, BUSY, IDLE, IDLE], Use.FREE),
        ([replace(IDLE, memory_used=GIB)], Use.FREE),
        ([replace(IDLE, utilisation=25)], Use.FREE),
        ([replace(IDLE, utilisation=26)], Use.PERHAPS),
        ([replace(IDLE, processes=(XORG,))], Use.FREE),
        ([replace(BUSY, processes=(replace(XORG, sm=90),))], Use.FREE),
        ([replace(BUSY, processes=(XORG,))], Use.PERHAPS),
        ([replace(BUSY, processes=(replace(XORG, sm=None),))], Use.PERHAPS),
        ([replace(FULL, processes=(replace(XORG, memory=13 * GIB),))], Use.FREE),
        ([replace(FULL, processes=(replace(XORG, memory=None),))], Use.PERHAPS),
        ([replace(UNLISTED, memory_used=2 * GIB)], Use.FREE),
        ([replace(UNLISTED, memory_used=3 * GIB)], Use.PERHAPS),
        ([replace(UNLISTED, utilisation=60)] * 2, Use.IN_USE),
        ([replace(IDLE, utilisation=None)], Use.FREE),
        ([replace(FULL, utilisation=None, mig=True)] * 2, Use.IN_USE),
        ([replace(IDLE, memory_used=None)], Use.FREE),
        ([replace(IDLE, memory_used=None, utilisation=None)], Use.UNKNOWN),
        ([replace(UNLISTED, memory_used=None)], Use.UNKNOWN),
    ],
)
def test_two_of_three_samples_decide_and_one_that_shows_nothing_is_enough(samples, use):
    assert judge(samples[-1], sampled(samples)["GPU-0"])[0] is use


def test_samples_that_follow_each_other_quickly_count_once_and_old_ones_not_at_all():
    assert judge(BUSY, sampled([BUSY] * 4, every=1.0)["GPU-0"])[0] is Use.PERHAPS
    assert judge(BUSY, sampled([BUSY] * 5, every=1.0)["GPU-0"])[0] is Use.IN_USE
    assert judge(BUSY, sampled([BUSY, BUSY], every=60.0)["GPU-0"])[0] is Use.PERHAPS
    assert len(sampled([BUSY] * 100, every=1.0)["GPU-0"]) == 16


def test_a_clock_that_is_set_back_begins_anew():
    assert judge(BUSY, sampled([BUSY, BUSY], every=-3600.0)["GPU-0"])[0] is Use.PERHAPS


def test_what_is_in_use_on_the_gpu_of_a_job_is_that_jobs():
    assert judge(FULL, sampled([FULL] * 3, held=["GPU-0"])["GPU-0"])[0] is Use.FREE


def test_old_values_and_a_lost_gpu_add_no_look():
    once = sampled([BUSY])
    assert extended(once, GpuSnapshot((BUSY,), time=1005.0, stale="The driver hangs.")) == once
    assert extended(once, GpuSnapshot((replace(BUSY, problem="lost"),), time=1005.0)) == {}


def test_a_single_sample_is_judged_where_there_are_no_others():
    assert judge(FULL) == judge(FULL, (unexplained_use(FULL),))


# The four that follow it


def queue(gpu: GpuSample, samples: RecentUse, wants: str = "auto") -> str:
    """What the queue says to a job: the GPU's UUID, or why it waits."""
    mine = Ticket(50, 1, "job1", wants, "bob")
    place = allot([mine], mine, Machine(gpus=(gpu,), expects_gpus=True, samples=samples))
    return place.gpus[0] if isinstance(place, Place) else place.reason


BOTH = replace(FULL, utilisation=97)
IN_USE = "in use: 14.0 GiB and 97 % utilisation of no listed process"


def test_a_gpu_that_is_in_use_is_not_given_away_and_not_called_free_or_idle():
    samples = sampled([BOTH] * 3)
    snapshot = GpuSnapshot((BOTH,), time=1010.0)
    assert queue(BOTH, samples) == f"GPU 0 is {IN_USE}"
    assert queue(BOTH, samples, "GPU-0") == f"GPU 0 is {IN_USE}", "a job that names it waits as well"
    assert standings(snapshot, (), samples) == {"GPU-0": IN_USE}
    (finding,) = judge_use(snapshot, samples, ())
    assert (finding.name, finding.found) == ("GPU 0", IN_USE)
    assert sentences(snapshot, samples=samples) == [
        "GPU 0 (A4000): 97 % utilisation, 14.0 of 16.0 GiB; "
        "14.0 GiB are held by no listed process (another container or user?)."
    ]


def test_a_pause_in_the_work_frees_the_gpu_for_none_of_them():
    samples, snapshot = sampled([BUSY, BUSY, IDLE]), GpuSnapshot((IDLE,), time=1010.0)
    words = "in use: 97 % utilisation of no listed process"
    assert queue(IDLE, samples) == f"GPU 0 is {words}"
    assert standings(snapshot, (), samples) == {"GPU-0": words}
    assert judge_use(snapshot, samples, ())[0].found == words
    assert sentences(snapshot, samples=samples) == [f"GPU 0 (A4000): 0 % utilisation, 0.6 of 16.0 GiB; {words}."]


def test_an_idle_gpu_is_free_for_all_of_them_by_one_sample():
    samples, snapshot = sampled([IDLE]), GpuSnapshot((IDLE,), time=1000.0)
    assert queue(IDLE, samples) == "GPU-0"
    assert standings(snapshot, (), samples) == {"GPU-0": None}
    assert judge_use(snapshot, samples, ()) == []
    assert sentences(snapshot, samples=samples)[0].startswith("No active CUDA training/inference process")


def test_a_gpu_that_reports_nothing_is_unknown_and_only_taken_by_name_or_share():
    silent = replace(IDLE, memory_used=None, memory_total=None, utilisation=None)
    samples, snapshot = sampled([silent]), GpuSnapshot((silent,), time=1000.0)
    words = "unknown: it reports neither memory nor utilisation; only --gpu 0 or foreign: share takes it"
    assert queue(silent, samples) == f"GPU 0 is {words}"
    assert queue(silent, samples, "GPU-0") == "GPU-0"
    assert standings(snapshot, (), samples) == {"GPU-0": words}
    (finding,) = judge_use(snapshot, samples, ())
    assert finding.found == "not known: it reports neither memory nor utilisation"
    assert "whether it is idle is unknown" in sentences(snapshot, samples=samples)[0]


def test_the_doctor_leaves_out_the_gpu_of_a_job_and_those_with_a_listed_process():
    snapshot = GpuSnapshot((BOTH, replace(FULL, index=1, uuid="GPU-1", processes=(GpuProcess(1, "C", 13 * GIB),))))
    assert judge_use(snapshot, extended({}, snapshot, ["GPU-0"]), ["GPU-0"]) == []
