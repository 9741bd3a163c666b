"""The GPU policy: one table of what it lets a job do, and how it is read from settings and job.json.

The jobs' order and what a policy has no part in are in test_allot and test_gate; real jobs that share GPUs are in
test_slots.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

import pytest

from engine.contract.errors import BadInput
from xray_tui.gpu.snapshot import GpuProcess
from xray_tui.jobs.model.gpu_policy import GpuPolicy, check_hours, from_values, parse_foreign
from xray_tui.jobs.model.job import Job, JobSpec, State
from xray_tui.jobs.queue.admission import Blocked, check_admission
from xray_tui.jobs.queue.allocation import Machine, Place, Wait, allot
from xray_tui.jobs.queue.tickets import Ticket

from .conftest import gpu

GIB = 1 << 30
NOON, NIGHT = 12 * 60, 21 * 60
ALICES = replace(gpu(0, GpuProcess(4711, "C", user="alice")), memory_used=GIB)
UNLISTED = replace(gpu(0), processes=None, memory_used=3 * GIB)
UNEXPLAINED = replace(gpu(0), memory_used=14 * GIB)
SILENT = replace(gpu(0), memory_used=None, utilisation=None)


def running(*gpus: str, **changes: Any) -> Job:
    """A job of the same user that holds these GPUs."""
    return Job("r1", JobSpec("train", "a", ()), State.RUNNING, **{"user": "ana", "gpus": gpus, **changes})


def queued(number: int, policy: GpuPolicy, gpu: str = "auto", count: int = 1) -> Job:
    """A waiting job of the same user."""
    spec = JobSpec("train", f"q{number}", (), gpu_count=count)
    return Job(f"q{number}", spec, State.QUEUED, user="ana", ticket=f"50.{number}.q{number}", terms=policy, wants=gpu)


def answer(
    policy: GpuPolicy,
    gpu: str = "auto",
    count: int = 1,
    *,
    others: tuple[Job, ...] = (),
    at: int = NOON,
    **machine: Any,
) -> Place | Wait | Blocked:
    """What job 9 is told: by the gate first, as the supervisor asks it, then by the allocation after the jobs that the
    gate has let in."""
    mine = queued(9, policy, gpu, count)
    if (blocked := check_admission(mine, None, False, others, at)) is not None:
        return blocked
    tickets = [
        Ticket(50, int(job.id[1:]), job.id, job.wants, "ana", job.spec.gpu_count, job.terms)
        for job in (*others, mine)
        if job.state is State.QUEUED and check_admission(job, None, False, (*others, mine), at) is None
    ]
    return allot(tickets, tickets[-1], Machine(expects_gpus=True, **{"gpus": (gpu_0, gpu_1), **machine}))


gpu_0, gpu_1, gpu_2 = map(gpu, range(3))
FULL_1, FULL_2 = (Blocked(State.QUEUED, f"your jobs hold 1 GPU, and max_gpus is {most}") for most in (1, 2))
BEHIND = Blocked(State.QUEUED, "after train q1, which waits because of max_gpus", polls=5)
LATER = Blocked(State.QUEUED, "may start at 20:00 to 08:00")
ALICE = Wait("GPU 0 is used by pid 4711 (alice)", foreign=True)
USED = Wait("GPU 0 is used by a job")
SHARED = Wait("GPU 0 is shared by 1 job")
TWO, SMALL, MODEST = GpuPolicy(max_gpus=2), GpuPolicy(slots=2), GpuPolicy(max_gpus=1, slots=2)
LITTLE = GpuPolicy(foreign="idle_under", idle_under=2 * GIB)
NIGHTS = GpuPolicy(hours="20:00-08:00")
ON_0 = running("GPU-0")
SMALL_ON_0 = running("GPU-0", terms=MODEST)
WIDE = queued(1, TWO, count=2)
AFTER = replace(WIDE, spec=replace(WIDE.spec, after=("r1",)))

TABLE: dict[str, list[tuple[Place | Wait | Blocked, GpuPolicy, dict[str, Any]]]] = {
    "foreign: refuse, share, or little memory in use": [
        (ALICE, GpuPolicy(), {"gpus": (ALICES,)}),
        (Place(("GPU-0",)), GpuPolicy(foreign="share"), {"gpus": (ALICES,)}),
        (Place(("GPU-0",)), LITTLE, {"gpus": (ALICES,)}),
        (ALICE, LITTLE, {"gpus": (replace(ALICES, memory_used=3 * GIB),)}),
        (Place(("GPU-0",)), GpuPolicy(foreign="share"), {"gpus": (UNEXPLAINED,)}),
        (Place(("GPU-0",)), replace(LITTLE, idle_under=15 * GIB), {"gpus": (UNEXPLAINED,)}),
        (Wait("GPU 0 is perhaps used: 14.0 GiB of no listed process", True), LITTLE, {"gpus": (UNEXPLAINED,)}),
        (Wait("GPU 0 is perhaps used: its processes cannot be listed", True), GpuPolicy(), {"gpus": (UNLISTED,)}),
        (Place(("GPU-0",)), GpuPolicy(idle_under=4 * GIB), {"gpus": (UNLISTED,)}),
        (Place(("GPU-0",)), GpuPolicy(), {"gpus": (replace(UNLISTED, memory_used=GIB // 2),)}),
        (Wait("GPU 0 is unknown: it reports neither memory nor utilisation; only --gpu 0 or foreign: share takes it",
              foreign=True), LITTLE, {"gpus": (SILENT,)}),
        (Place(("GPU-0",)), GpuPolicy(foreign="share"), {"gpus": (SILENT,)}),
        (Place(("GPU-0",)), GpuPolicy(), {"gpu": "GPU-0", "gpus": (SILENT,)}),
    ],
    "no policy opens a GPU that a job holds or that is lost": [
        (USED, GpuPolicy(foreign="share"), {"gpus": (ALICES,), "held": {"GPU-0"}}),
        (Wait("GPU 0: lost", True), GpuPolicy(foreign="share"), {"gpus": (replace(ALICES, problem="lost"),)}),
    ],
    "gpus: only these, the first preferred": [
        (Place(("GPU-2",)), GpuPolicy(("GPU-2", "GPU-1")), {"gpus": (gpu_0, gpu_1, gpu_2)}),
        (Place(("GPU-1",)), GpuPolicy(("GPU-2", "GPU-1")), {"gpus": (gpu_0, gpu_1, gpu_2), "held": {"GPU-2"}}),
        (USED, GpuPolicy(("GPU-0",)), {"held": {"GPU-0"}}),
        (Wait("needs 1 allowed GPU; 0 visible", True), GpuPolicy(("GPU-9",)), {}),
        (Place(("GPU-0",)), GpuPolicy(), {"others": (queued(1, GpuPolicy(("GPU-1",))),)}),
        (Place(("GPU-0",)), GpuPolicy(), {"others": (queued(1, GpuPolicy(("GPU-1",))),), "held": {"GPU-1"}}),
        (Place(("GPU-1",)), GpuPolicy(), {"gpu": "GPU-1", "others": (queued(1, GpuPolicy(("GPU-1",)), count=2),)}),
    ],
    "slots: small jobs fill a GPU before the next, others need a whole one": [
        (Place(("GPU-0",)), SMALL, {"others": (queued(1, SMALL),)}),
        (Place(("GPU-1",)), SMALL, {"others": (queued(1, SMALL), queued(2, SMALL))}),
        (Wait("4 jobs before it", before=4), SMALL, {"others": tuple(queued(at, SMALL) for at in range(1, 5))}),
        (Place(("GPU-1",)), SMALL, {"gpus": (gpu_0, gpu(1, GpuProcess(4711, "C"))), "shared": {"GPU-1": 1}}),
        (Place(("GPU-0",)), SMALL, {"shared": {"GPU-1": 2}}),
        (SHARED, GpuPolicy(), {"gpus": (gpu_0,), "shared": {"GPU-0": 1}}),
        (SHARED, SMALL, {"gpu": "GPU-0", "gpus": (gpu_0,), "shared": {"GPU-0": 1}}),
        (Wait("needs 2 GPUs at once, 1 free"), SMALL, {"count": 2, "shared": {"GPU-0": 1}}),
        (Place(("GPU-1",)), GpuPolicy(), {"others": (queued(1, SMALL),)}),
        (ALICE, SMALL, {"gpus": (ALICES,)}),
    ],
    "hours: jobs start at these alone": [
        (LATER, NIGHTS, {}),
        (Place(("GPU-0",)), NIGHTS, {"at": NIGHT}),
    ],
    "max_gpus: of the jobs of one user on one machine": [
        (FULL_1, GpuPolicy(max_gpus=1), {"others": (ON_0,)}),
        (Place(("GPU-0",)), GpuPolicy(max_gpus=1), {"others": (replace(ON_0, user="bo"),)}),
        (Place(("GPU-0",)), GpuPolicy(max_gpus=1), {"others": (replace(ON_0, host="another"),)}),
        (Place((), None), GpuPolicy(max_gpus=1), {"gpu": "none", "others": (ON_0,), "cpu_free": 1}),
        (Place(("GPU-1",)), TWO, {"others": (ON_0,), "held": {"GPU-0"}}),
        (FULL_2, TWO, {"gpu": "GPU-1,GPU-2", "others": (ON_0,)}),
        (FULL_2, TWO, {"count": 2, "others": (ON_0,)}),
        (Place(("GPU-1",)), TWO, {"others": (ON_0, replace(ON_0, id="r2")), "held": {"GPU-0"}}),
        (Place(("GPU-0", "GPU-1")), GpuPolicy(max_gpus=1), {"count": 2}),
    ],
    "max_gpus: small jobs do not pass a wide one that waits by it": [
        (BEHIND, TWO, {"others": (ON_0, WIDE)}),
        (Wait("1 job before it", before=1), TWO, {"others": (WIDE,)}),
        (Place(("GPU-1",)), TWO, {"others": (ON_0, replace(WIDE, ticket="50.99.q1")), "held": {"GPU-0"}}),
        (Place(("GPU-1",)), TWO, {"others": (ON_0, replace(WIDE, state=State.HELD)), "held": {"GPU-0"}}),
        (Place(("GPU-1",)), TWO, {"others": (ON_0, AFTER), "held": {"GPU-0"}}),
    ],
    "max_gpus and hours: a wide job that may not start yet is passed": [
        (Place(("GPU-1",)), TWO, {"others": (ON_0, replace(WIDE, terms=replace(NIGHTS, max_gpus=2))),
                                  "held": {"GPU-0"}}),
    ],
    "max_gpus and slots: a slot of a GPU that the user's small jobs hold is no further GPU": [
        (replace(FULL_1, allowed_gpus=("GPU-0",)), MODEST, {"others": (SMALL_ON_0,)}),
        (FULL_1, MODEST, {"others": (SMALL_ON_0, replace(SMALL_ON_0, id="r2"))}),
        (FULL_1, MODEST, {"others": (ON_0,)}),
        (FULL_1, MODEST, {"count": 2, "others": (SMALL_ON_0,)}),
        (FULL_1, replace(MODEST, allowed=("GPU-1",)), {"others": (SMALL_ON_0,)}),
        (BEHIND, MODEST, {"others": (SMALL_ON_0, queued(1, MODEST))}),
    ],
}  # fmt: skip


@pytest.mark.parametrize("rule", TABLE)
def test_a_policy_decides_which_gpus_a_job_gets_and_what_it_waits_for(rule: str) -> None:
    for number, (expected, policy, situation) in enumerate(TABLE[rule]):
        assert answer(policy, **situation) == expected, f"row {number}"


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
    assert GpuPolicy(hours=hours).may_start(minute) is open


def test_hours_that_are_none_are_refused() -> None:
    for text in ("20-8", "25:00-08:00", "20:00-08:61", "always"):
        with pytest.raises(BadInput, match="give a span such as 20:00-08:00"):
            check_hours(text)


def test_a_policy_passes_through_job_json_and_invalid_values_there_become_the_defaults() -> None:
    terms = GpuPolicy(("GPU-1",), "idle_under", 5, 2, 3, "20:00-08:00")
    assert from_values({**asdict(terms), "allowed": list(terms.allowed)}) == terms
    nonsense = {
        "allowed": "GPU-1",
        "foreign": 3,
        "idle_under": -1,
        "max_gpus": True,
        "slots": 99,
        "hours": "never",
        "more": 1,
    }
    assert from_values(nonsense) == GpuPolicy()
