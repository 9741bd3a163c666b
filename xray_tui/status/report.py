"""What there is to tell who comes back: what ended and why, what runs, what waits, what is new on the board.

Pure: jobs, a board and two times become a report, and that becomes lines or plain values.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from engine.contract.text import clean
from engine.contract.units import duration
from xray_tui.board.model import Board
from xray_tui.jobs.model.format import as_json as job_json
from xray_tui.jobs.model.format import describe, whose
from xray_tui.jobs.model.job import Job, State
from xray_tui.status.board_changes import Results, results_since

MOST = 10
"""Results that are listed; of the others their number is said."""

ID_END = 4
"""Letters at the end of a job's id, by which every command finds it."""

BASIS = "By the artifacts' own times: what was deleted or overwritten since is not seen."


@dataclass(frozen=True, slots=True)
class Report:
    """All of it, as it stands at `now`."""

    since: float
    now: float
    ended: tuple[Job, ...]
    """Newest end first."""
    running: tuple[Job, ...]
    waiting: tuple[Job, ...]
    """Who is served first, first; then who is kept out of the queue."""
    results: Results

    @property
    def has_news(self) -> bool:
        """Whether there is more than what goes on: something ended, is blocked, or is new on the board."""
        blocked = any(job.state is State.BLOCKED for job in self.waiting)
        return bool(self.ended or blocked or self.results.results or self.results.leader_changed)


def report(jobs: Sequence[Job], board: Board, since: float, now: float) -> Report:
    """What happened in the runs folder after `since`."""
    ended = [job for job in jobs if job.state.ended and job.ended is not None and job.ended > since]
    waiting = [job for job in jobs if job.state.waiting]
    return Report(
        since,
        now,
        tuple(sorted(ended, key=lambda job: (job.ended or 0.0, job.id), reverse=True)),
        tuple(job for job in jobs if not job.state.ended and not job.state.waiting),
        tuple(sorted(waiting, key=lambda job: (job.state is not State.QUEUED, job.ticket, job.created))),
        results_since(board, since),
    )


def lines(told: Report, width: int = 100, me: str = "") -> list[str]:
    """The report for reading, in lines of at most `width` characters where its words allow it; jobs of others than
    `me` carry their user's name."""
    return [_since(told.since, told.now), *_jobs(told, width, me), *_board(told, width)]


def as_json(told: Report) -> dict[str, Any]:
    """The report as plain values for others' scripts."""
    return {
        "since": told.since,
        "now": told.now,
        "ended": [job_json(job) for job in told.ended],
        "running": [job_json(job) for job in told.running],
        "waiting": [job_json(job) for job in told.waiting],
        "board": {
            "metric": told.results.metric,
            "leader": told.results.leader and asdict(told.results.leader),
            "leader_before": told.results.led_before and asdict(told.results.led_before),
            "results": [asdict(result) for result in told.results.results],
        },
    }


def ago(seconds: float) -> str:
    """`5m00s ago`; "just now" below a minute, and for what a clock that was set says to come."""
    if seconds < 60:
        return "just now"
    days = int(seconds // 86_400)
    return f"{days} days ago" if days >= 2 else f"{duration(seconds)} ago"


def _since(since: float, now: float) -> str:
    """The first line. A time that no calendar has is as good as ever."""
    try:
        return f"Since {datetime.fromtimestamp(since):%Y-%m-%d %H:%M} ({ago(now - since)})"
    except (ValueError, OverflowError, OSError):
        return "Since ever"


def _jobs(told: Report, width: int, me: str) -> Iterator[str]:
    if not (told.ended or told.running or told.waiting):
        yield "No job has ended, none runs, none waits."
    for title, jobs in (("Ended", told.ended), ("Running", told.running), ("Waiting", told.waiting)):
        if jobs:
            yield from ("", f"{title}: {len(jobs)}")
            for job in jobs:
                yield from _job(job, told.now, width, me)


def _job(job: Job, now: float, width: int, me: str) -> Iterator[str]:
    head = f"{job.state!s:9}  {job.spec.kind:8}  {job.spec.run}{whose(job, me)}"
    if job.ended is not None:
        head += f"  {ago(now - job.ended)}"
        if job.started is not None:
            head += f", took {duration(max(0.0, job.ended - job.started))}"
    yield f"  {head}  {job.id[-ID_END:]}"
    if more := describe(job):
        yield from _wrapped(clean(more), width, "      ")


def _board(told: Report, width: int) -> Iterator[str]:
    board = told.results
    if not board.results and not board.leader_changed:
        yield from ("", "Board: no result is newer.")
        return
    count = len(board.results)
    yield from ("", f"Board: {count} {'run has a newer result' if count == 1 else 'runs have newer results'}")
    if board.leader is not None and board.leader_changed:
        before = "none" if board.led_before is None else f"{board.led_before.run} ({board.led_before.value:.4f})"
        now = f"{board.leader.run} ({board.metric} {board.leader.value:.4f})"
        yield from _wrapped(f"new leader: {now}; before: {before}", width, "  ")
    for result in board.results[:MOST]:
        before = "" if result.before is None else f", {result.before:.4f} before"
        yield f"  {result.rank:>4}  {result.value:.4f}{before}  {result.run}  {ago(told.now - result.time)}"
    if count > MOST:
        yield f"        and {count - MOST} more"
    yield from _wrapped(BASIS, width, "  ")


def _wrapped(text: str, width: int, indent: str) -> list[str]:
    return textwrap.wrap(
        text, width, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False, break_long_words=False
    )
