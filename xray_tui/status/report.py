"""The report since the last visit: jobs that ended (and why), run or wait, and new results on the board.

Pure functions build a Report from jobs, a board and two times, and turn it into lines or plain values. The board has no
history: artifacts deleted or overwritten since are missing, and a copied artifact with an old time counts as old.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from engine.contract.text import clean
from engine.contract.units import duration
from xray_tui.board.model import Board, Row, Snapshot
from xray_tui.board.rank import rank
from xray_tui.jobs.model.format import as_json as job_json
from xray_tui.jobs.model.format import describe, whose
from xray_tui.jobs.model.job import Job, State

MOST = 10
"""Number of results listed before "and N more"."""

ID_END = 4
"""Number of characters at the end of a job's id that are shown; every command accepts them."""

BASIS = "By the artifacts' own times; artifacts deleted or overwritten since are missing."


@dataclass(frozen=True, slots=True)
class Result:
    """A run whose ranking artifact is newer than the time in question."""

    rank: int
    run: str
    """The run's name, safe to show."""
    value: float
    """Value of the primary metric."""
    before: float | None
    """The value from the run's older artifacts; None if it has none."""
    time: float


@dataclass(frozen=True, slots=True)
class Results:
    """Newer results, best first, and the leaders now and among the older artifacts (None if there are no artifacts)."""

    metric: str
    results: tuple[Result, ...]
    leader: Row | None
    leader_before: Row | None

    @property
    def leader_changed(self) -> bool:
        return self.leader is not None and (self.leader_before is None or self.leader.run != self.leader_before.run)


@dataclass(frozen=True, slots=True)
class Report:
    """The state at `now`, and what happened after `since` (both in seconds since the epoch)."""

    since: float
    now: float
    ended: tuple[Job, ...]
    """Sorted by end, latest first."""
    running: tuple[Job, ...]
    waiting: tuple[Job, ...]
    """Queued jobs in the order of the queue, then held and blocked jobs."""
    results: Results

    @property
    def has_news(self) -> bool:
        """Whether a job ended or is blocked, or a result is new on the board."""
        blocked = any(job.state is State.BLOCKED for job in self.waiting)
        return bool(self.ended or blocked or self.results.results or self.results.leader_changed)


def build_report(jobs: Sequence[Job], board: Board, since: float, now: float) -> Report:
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


def results_since(board: Board, since: float) -> Results:
    """The runs whose ranking artifact is newer than `since` (epoch seconds), and the leader now and before."""
    primary = board.rules.primary
    artifacts = [artifact for row in board.rows for artifact in (row.artifact, *row.others)]
    older = tuple(artifact for artifact in artifacts if artifact.time <= since)
    before = {row.run: row for row in rank(Snapshot(board.runs, board.rules, older, (), ())).rows}
    results = tuple(
        Result(
            row.rank,
            row.name,
            row.figures[primary],
            before[row.run].figures[primary] if row.run in before else None,
            row.artifact.time,
        )
        for row in board.rows
        if row.artifact.time > since
    )
    return Results(primary, results, next(iter(board.rows), None), next(iter(before.values()), None))


def lines(report: Report, width: int = 100, me: str = "") -> list[str]:
    """The report as text, wrapped at `width` characters. Jobs of users other than `me` show the user's name."""
    return [line for line, _ in entries(report, width, me)]


def entries(report: Report, width: int, me: str) -> list[tuple[str, str]]:
    """The lines of the report, each with the id of the job that it is about, or ""."""
    try:
        since = f"Since {datetime.fromtimestamp(report.since):%Y-%m-%d %H:%M} ({ago(report.now - report.since)})"
    except (ValueError, OverflowError, OSError):  # before year 1
        since = "Since the beginning"
    return [(since, ""), *_jobs(report, width, me), *((line, "") for line in _board(report, width))]


def as_json(report: Report) -> dict[str, Any]:
    """The report as plain values, for scripts."""
    board = report.results

    def leader(row: Row | None) -> dict[str, Any] | None:
        return None if row is None else {"run": row.name, "value": row.figures[board.metric]}

    return {
        "since": report.since,
        "now": report.now,
        "ended": [job_json(job) for job in report.ended],
        "running": [job_json(job) for job in report.running],
        "waiting": [job_json(job) for job in report.waiting],
        "board": {
            "metric": board.metric,
            "leader": leader(board.leader),
            "leader_before": leader(board.leader_before),
            "results": [asdict(result) for result in board.results],
        },
    }


def ago(seconds: float) -> str:
    """An age such as `5m00s ago`; "just now" below a minute and for a time in the future (the clock was set back)."""
    if seconds < 60:
        return "just now"
    days = int(seconds // 86_400)
    return f"{days} days ago" if days >= 2 else f"{duration(seconds)} ago"


def _jobs(report: Report, width: int, me: str) -> Iterator[tuple[str, str]]:
    """The lines about jobs, failures first."""
    failed = [job for job in report.ended if job.state in (State.FAILED, State.LOST)]
    ended = [job for job in report.ended if job not in failed]
    if not (report.ended or report.running or report.waiting):
        yield "No job has ended, is running or is waiting.", ""
    sections = (("Failed", failed), ("Ended", ended), ("Running", report.running), ("Waiting", report.waiting))
    for title, jobs in sections:
        if jobs:
            yield from (("", ""), (f"{title}: {len(jobs)}", ""))
            for job in jobs:
                yield from ((line, job.id) for line in _job(job, report.now, width, me))


def _job(job: Job, now: float, width: int, me: str) -> Iterator[str]:
    head = f"{job.state!s:9}  {job.spec.kind:8}  {job.spec.run}{whose(job, me)}"
    if job.ended is not None:
        head += f"  {ago(now - job.ended)}"
        if job.started is not None:
            head += f", took {duration(max(0.0, job.ended - job.started))}"
    yield f"  {head}  {job.id[-ID_END:]}"
    if more := describe(job):
        yield from _wrapped(clean(more), width, "      ")


def _board(report: Report, width: int) -> Iterator[str]:
    board = report.results
    if not board.results and not board.leader_changed:
        yield from ("", "Board: no new results.")
        return
    count = len(board.results)
    yield from ("", f"Board: {count} {'run has a new result' if count == 1 else 'runs have new results'}")
    if board.leader is not None and board.leader_changed:
        old, now = board.leader_before, f"{board.metric} {board.leader.figures[board.metric]:.4f}"
        before = "none" if old is None else f"{old.name} ({old.figures[board.metric]:.4f})"
        yield from _wrapped(f"new leader: {board.leader.name} ({now}); before: {before}", width, "  ")
    for result in board.results[:MOST]:
        before = "" if result.before is None else f", {result.before:.4f} before"
        yield f"  {result.rank:>4}  {result.value:.4f}{before}  {result.run}  {ago(report.now - result.time)}"
    if count > MOST:
        yield f"        and {count - MOST} more"
    yield from _wrapped(BASIS, width, "  ")


def _wrapped(text: str, width: int, indent: str) -> list[str]:
    return textwrap.wrap(
        text, width, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False, break_long_words=False
    )
