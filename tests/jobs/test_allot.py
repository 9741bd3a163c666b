"""Who gets which GPU, as a function of values."""

from __future__ import annotations

from dataclasses import replace

from xray_tui.gpu.snapshot import GpuProcess
from xray_tui.jobs.queue.allocation import NO_GPU_NOTE, RESERVES, Machine, Place, Wait, allot
from xray_tui.jobs.queue.tickets import Ticket

from .conftest import gpu

TWO = Machine(gpus=(gpu(0), gpu(1)), expects_gpus=True, cpu_slots=2, cpu_free=2)
NO_GPU = Machine(gpus=(), expects_gpus=False, problem="No NVIDIA GPU here.", cpu_slots=2, cpu_free=2)


def ticket(number: int, wants: str = "auto") -> Ticket:
    return Ticket(50, number, f"job{number}", wants, "alice")


def turn(mine: Ticket, *others: Ticket, on: Machine = TWO) -> Place | Wait:
    return allot(sorted([mine, *others]), mine, on)


def test_auto_takes_the_first_free_gpu() -> None:
    assert turn(ticket(1)) == Place(("GPU-0",))
    assert turn(ticket(1), on=replace(TWO, held=frozenset({"GPU-0"}))) == Place(("GPU-1",))


def test_an_earlier_ticket_is_left_what_it_would_take() -> None:
    assert turn(ticket(2), ticket(1)) == Place(("GPU-1",))
    assert turn(ticket(2), ticket(1, "GPU-1")) == Place(("GPU-0",))
    assert turn(ticket(3), ticket(1), ticket(2)) == Wait("2 jobs before it", before=2)


def test_a_later_ticket_never_stands_in_the_way() -> None:
    assert turn(ticket(1), ticket(2, "GPU-0"), ticket(3)) == Place(("GPU-0",))


def test_priority_comes_before_the_number() -> None:
    urgent = replace(ticket(9), priority=10)
    assert turn(urgent, ticket(1), ticket(2)) == Place(("GPU-0",))


def test_a_fixed_gpu_is_waited_for_though_another_is_free() -> None:
    held = replace(TWO, held=frozenset({"GPU-1"}))
    assert turn(ticket(1, "GPU-1"), on=held) == Wait("GPU 1 is used by a job")
    assert turn(ticket(2, "GPU-1"), ticket(1, "GPU-1")) == Wait("1 job before it", before=1)
    assert turn(ticket(1, "GPU-7")) == Wait("GPU-7 is not visible", foreign=True)


def test_foreign_compute_processes_keep_a_gpu_and_desktops_do_not() -> None:
    desktop = gpu(0, GpuProcess(1, "G"), GpuProcess(2, "C+G"))
    taken = gpu(1, GpuProcess(4711, "C", user="alice"))
    assert turn(ticket(1), on=replace(TWO, gpus=(taken, desktop))) == Place(("GPU-0",))
    alone = replace(TWO, gpus=(taken,))
    assert turn(ticket(1), on=alone) == Wait("GPU 1 is used by pid 4711 (alice)", foreign=True)
    unseen = replace(TWO, gpus=(gpu(0, GpuProcess(9, "M+C")),))
    assert turn(ticket(1), on=unseen) == Wait("GPU 0 is used by pid 9", foreign=True)


def test_a_broken_gpu_is_passed_over() -> None:
    lost = replace(gpu(0), problem="lost")
    assert turn(ticket(1), on=replace(TWO, gpus=(lost, gpu(1)))) == Place(("GPU-1",))
    assert turn(ticket(1, "GPU-0"), on=replace(TWO, gpus=(lost,))) == Wait("GPU 0: lost", foreign=True)


def test_an_auto_that_finds_no_gpu_says_what_sits_there() -> None:
    both = replace(TWO, held=frozenset({"GPU-0", "GPU-1"}))
    assert turn(ticket(1), on=both) == Wait("all 2 GPUs are used by other jobs")
    mixed = replace(TWO, gpus=(gpu(0), gpu(1, GpuProcess(7, "C"))), held=frozenset({"GPU-0"}))
    assert turn(ticket(1), on=mixed) == Wait("no GPU is free: GPU 1 is used by pid 7", foreign=True)


def test_without_a_driver_auto_means_the_cpu() -> None:
    assert turn(ticket(1), on=NO_GPU) == Place((), NO_GPU_NOTE)
    assert turn(ticket(1, "none"), on=NO_GPU) == Place(())


def test_a_driver_that_shows_no_gpu_is_waited_for() -> None:
    hanging = replace(NO_GPU, expects_gpus=True, problem="The driver does not answer.")
    assert turn(ticket(1), on=hanging) == Wait("The driver does not answer.", foreign=True)
    assert turn(ticket(1, "none"), on=hanging) == Place(())


def test_values_that_have_grown_stale_start_nothing() -> None:
    assert turn(ticket(1), on=replace(TWO, problem="The driver hangs.")) == Wait("The driver hangs.", foreign=True)


def test_cpu_jobs_wait_for_cpu_jobs_only() -> None:
    assert turn(ticket(3, "none"), ticket(1), ticket(2)) == Place(())
    assert turn(ticket(3, "none"), ticket(1, "none"), ticket(2, "none")) == Wait("2 jobs before it", before=2)
    full = replace(TWO, cpu_free=0)
    assert turn(ticket(1, "none"), on=full) == Wait("2 jobs run on the CPU already")


# Several GPUs at once

FOUR = Machine(gpus=(gpu(0), gpu(1), gpu(2), gpu(3)), expects_gpus=True)


def wide(number: int, count: int = 2, since: float | None = None) -> Ticket:
    return replace(ticket(number), count=count, since=since)


def test_a_wide_job_takes_all_its_gpus_at_once_or_none() -> None:
    assert turn(wide(1, 3), on=FOUR) == Place(("GPU-0", "GPU-1", "GPU-2"))
    three = replace(FOUR, held=frozenset({"GPU-0", "GPU-1", "GPU-3"}))
    assert turn(wide(1), on=three) == Wait("needs 2 GPUs at once, 1 free")


def test_a_wide_job_that_is_first_keeps_what_is_free_but_not_for_ever() -> None:
    one_free = replace(FOUR, held=frozenset({"GPU-0", "GPU-1", "GPU-3"}))
    mine = ticket(2)
    assert allot([wide(1), mine], mine, one_free, now=100.0) == Wait("1 job before it", before=1)
    assert allot([wide(1, since=100.0), mine], mine, one_free, now=101.0) == Wait("1 job before it", before=1)
    assert allot([wide(1, since=100.0), mine], mine, one_free, now=100.0 + RESERVES) == Place(("GPU-2",))


def test_a_wide_job_that_waited_too_long_still_gets_what_is_free_at_once() -> None:
    assert allot([wide(1, since=1.0)], wide(1, since=1.0), FOUR, now=1e9) == Place(("GPU-0", "GPU-1"))
    assert allot([wide(1, since=1.0), ticket(2)], ticket(2), FOUR, now=1e9) == Place(("GPU-2",))


def test_a_wide_job_behind_others_takes_what_they_leave() -> None:
    assert turn(wide(3), ticket(1), ticket(2), on=FOUR) == Place(("GPU-2", "GPU-3"))
    assert turn(wide(3, 3), ticket(1), ticket(2), on=FOUR) == Wait("2 jobs before it", before=2)


def test_named_gpus_are_taken_together_and_kept_for_who_names_them() -> None:
    both = ticket(1, "GPU-1,GPU-3")
    assert turn(both, on=FOUR) == Place(("GPU-1", "GPU-3"))
    held = replace(FOUR, held=frozenset({"GPU-3"}))
    assert turn(both, on=held) == Wait("GPU 3 is used by a job")
    assert turn(ticket(2, "GPU-1"), both, on=held) == Wait("1 job before it", before=1)
    assert turn(ticket(1, "GPU-1,GPU-7"), on=FOUR) == Wait("GPU-7 is not visible", foreign=True)


def test_more_gpus_than_there_are_are_waited_for_with_the_reason() -> None:
    assert turn(wide(1, 3), on=TWO) == Wait("needs 3 GPUs; 2 visible", foreign=True)


def test_a_ticket_for_more_than_there_is_keeps_nothing_from_others() -> None:
    assert turn(ticket(2), replace(ticket(1), count=999)) == Place(("GPU-0",))
    assert turn(ticket(2), ticket(1, "GPU-0,GPU-1,GPU-nowhere")) == Place(("GPU-0",))


def test_several_gpus_that_are_named_are_kept_no_longer_than_any() -> None:
    half = replace(TWO, held=frozenset({"GPU-1"}))
    named = replace(ticket(1, "GPU-0,GPU-1"), since=0.0)
    assert allot([named, ticket(2)], ticket(2), half, RESERVES - 1.0) == Wait("1 job before it", before=1)
    assert allot([named, ticket(2)], ticket(2), half, RESERVES) == Place(("GPU-0",))
