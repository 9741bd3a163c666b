"""The terms under which jobs take GPUs, read and applied."""

from __future__ import annotations

from dataclasses import replace

import pytest

from engine.contract.errors import BadInput
from xray_tui.gpu.sample import GpuProcess
from xray_tui.jobs.allot import Machine, Place, Wait, allot
from xray_tui.jobs.queue import Ticket
from xray_tui.jobs.terms import Terms, check_hours, from_values, may_start, parse_foreign, to_values

from .conftest import gpu

GIB = 1 << 30
FOREIGN = replace(gpu(0, GpuProcess(4711, "C", user="alice")), memory_used=GIB)


def place(terms: Terms, *gpus, leased=()) -> Place | Wait:
    machine = Machine(gpus=gpus, expects_gpus=True, leased=frozenset(leased))
    mine = Ticket(50, 1, "job1", "auto", "bob", terms=terms)
    return allot([mine], mine, machine)


def test_foreign_processes_are_refused_shared_or_allowed_where_little_memory_is_used() -> None:
    assert place(Terms(), FOREIGN) == Wait("GPU 0 is used by pid 4711 (alice)", foreign=True)
    assert place(Terms(foreign="share"), FOREIGN) == Place(("GPU-0",))
    assert place(Terms(foreign="idle_under", idle_under=2 * GIB), FOREIGN) == Place(("GPU-0",))
    full = replace(FOREIGN, memory_used=3 * GIB)
    assert isinstance(place(Terms(foreign="idle_under", idle_under=2 * GIB), full), Wait)


def test_no_terms_open_a_gpu_that_a_job_holds_or_that_is_lost() -> None:
    generous = Terms(foreign="share")
    assert place(generous, FOREIGN, leased=["GPU-0"]) == Wait("GPU 0 is used by a job")
    assert isinstance(place(generous, replace(FOREIGN, problem="GPU is lost")), Wait)


def test_where_processes_cannot_be_listed_the_memory_decides() -> None:
    unseen = replace(gpu(0), processes=None, memory_used=3 * GIB)
    assert isinstance(place(Terms(), unseen), Wait)
    assert place(Terms(idle_under=4 * GIB), unseen) == Place(("GPU-0",))


def test_only_allowed_gpus_are_taken_and_the_preferred_one_first() -> None:
    three = gpu(0), gpu(1), gpu(2)
    assert place(Terms(allowed=("GPU-2", "GPU-1")), *three) == Place(("GPU-2",))
    assert place(Terms(allowed=("GPU-2", "GPU-1")), *three, leased=["GPU-2"]) == Place(("GPU-1",))
    assert place(Terms(allowed=("GPU-1",)), *three, leased=["GPU-1"]) == Wait("GPU 1 is used by a job")
    assert place(Terms(allowed=("GPU-9",)), *three) == Wait("needs 1 GPU; of the allowed GPUs 0 in sight", foreign=True)


@pytest.mark.parametrize(
    ("text", "meant"),
    [("refuse", ("refuse", 2 * GIB)), ("share", ("share", 2 * GIB)), ("idle_under: 3GiB", ("idle_under", 3 * GIB)),
     ("idle_under:500 MB", ("idle_under", 500_000_000)), ("idle_under: 1.5GiB", ("idle_under", 3 * GIB // 2))],
)  # fmt: skip
def test_what_is_said_of_foreign_processes(text: str, meant: tuple[str, int]) -> None:
    assert parse_foreign(text) == meant


@pytest.mark.parametrize("text", ["", "maybe", "idle_under", "idle_under: much", "share: 2GiB", "idle_under: -1GiB"])
def test_what_is_no_policy_is_refused_with_those_that_are(text: str) -> None:
    with pytest.raises(BadInput, match="give refuse, share, or idle_under: 2GiB"):
        parse_foreign(text)


@pytest.mark.parametrize(
    ("hours", "minute", "open"),
    [("", 0, True), ("20:00-08:00", 20 * 60, True), ("20:00-08:00", 7 * 60 + 59, True), ("20:00-08:00", 8 * 60, False),
     ("9:30-17:00", 9 * 60 + 29, False), ("9:30-17:00", 16 * 60, True), ("00:00-00:00", 700, True)],
)  # fmt: skip
def test_hours_may_go_over_midnight(hours: str, minute: int, open: bool) -> None:
    assert check_hours(hours) == hours
    assert may_start(hours, minute) is open


def test_hours_that_are_none_are_refused() -> None:
    for text in ("20-8", "25:00-08:00", "20:00-08:61", "always"):
        with pytest.raises(BadInput, match="give a span such as 20:00-08:00"):
            check_hours(text)


def test_terms_pass_through_job_json_and_nonsense_there_is_as_nothing() -> None:
    terms = Terms(("GPU-1",), "idle_under", 5, 2, 3, "20:00-08:00")
    assert from_values({**to_values(terms), "allowed": list(terms.allowed)}) == terms
    nonsense = {
        "allowed": "GPU-1",
        "foreign": 3,
        "idle_under": -1,
        "max_gpus": True,
        "slots": 99,
        "hours": "never",
        "more": 1,
    }
    assert from_values(nonsense) == Terms()
