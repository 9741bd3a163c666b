"""Which ends of jobs are told while the app is open, and in which line."""

from __future__ import annotations

from dataclasses import replace

from tests.app.samples import NOW, make_job
from xray_tui.feeds.ended_jobs import EndedJobs, line, went_wrong
from xray_tui.jobs.model.job import Job, State

RUNNING = make_job("a", "unet_a", State.RUNNING, user="ana")


def ended(job: Job, state: State = State.SUCCEEDED, cause: str | None = None, ago: float = 0.0) -> Job:
    return replace(job, state=state, cause=cause, ended=NOW - ago)


def test_an_end_is_told_once() -> None:
    endings = EndedJobs("ana", NOW)
    assert endings.update([RUNNING]) == ()
    done = ended(RUNNING)
    assert endings.update([done]) == (done,)
    assert endings.update([done]) == ()


def test_what_ended_before_the_app_was_opened_is_not_told() -> None:
    endings = EndedJobs("ana", NOW)
    old = ended(make_job("b", "b", State.RUNNING), ago=300.0)
    assert endings.update([ended(RUNNING, ago=60.0)]) == ()
    assert endings.update([ended(RUNNING, ago=60.0), old]) == ()  # a job folder that was copied here


def test_a_job_that_began_and_ended_between_two_looks_is_told() -> None:
    endings = EndedJobs("ana", NOW - 10)
    endings.update([])
    quick = ended(RUNNING, State.FAILED, "bad input: no such file")
    assert endings.update([quick]) == (quick,)


def test_jobs_of_others_end_unheard() -> None:
    endings = EndedJobs("bob", NOW)
    endings.update([RUNNING])
    assert endings.update([ended(RUNNING)]) == ()


def test_a_resumed_job_may_end_again() -> None:
    endings = EndedJobs("ana", NOW)
    for _ in range(2):
        endings.update([RUNNING])
        assert endings.update([ended(RUNNING, State.STOPPED)])


def test_one_end_is_a_sentence_with_its_cause() -> None:
    assert line([ended(RUNNING)]) == "train unet_a: succeeded"
    failed = ended(RUNNING, State.FAILED, "out of memory")
    assert line([failed]) == "train unet_a: failed: out of memory"
    assert (went_wrong([failed]), went_wrong([ended(RUNNING, State.STOPPED)])) == (True, False)


def test_several_ends_are_one_line_that_names_what_went_wrong() -> None:
    jobs = [ended(make_job(str(n), f"run_{n}", State.RUNNING)) for n in range(3)]
    assert line(jobs) == "3 jobs have ended: 3 succeeded"
    failed = [ended(make_job(f"f{n}", f"bad_{n}", State.RUNNING), State.FAILED) for n in range(4)]
    assert line([*failed, *jobs]) == "7 jobs have ended: 3 succeeded, 4 failed (bad_0, bad_1, bad_2 …)"
