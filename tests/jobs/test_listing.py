"""The order in which jobs are shown."""

from __future__ import annotations

from xray_tui.jobs.model.format import in_view
from xray_tui.jobs.model.job import Job, JobSpec, State


def job(name: str, state: State, place: str = "", ended: float | None = None) -> Job:
    return Job(name, JobSpec("train", name, ()), state, ticket=f"{place}.{name}" if place else "", ended=ended)


def test_what_is_at_work_comes_first_and_what_waits_in_the_order_in_which_it_is_served() -> None:
    newest_first = [
        job("late", State.QUEUED, "50.000000000003"),
        job("urgent", State.HELD, "05.000000000002"),
        job("new", State.RUNNING),
        job("done", State.SUCCEEDED, "50.000000000000", ended=10.0),
        job("just now", State.FAILED, ended=20.0),
        job("early", State.QUEUED, "50.000000000001"),
        job("old", State.STARTING),
        job("gone", State.LOST),
    ]
    shown = [job.id for job in in_view(newest_first)]
    assert shown == ["new", "old", "urgent", "early", "late", "just now", "done", "gone"]
