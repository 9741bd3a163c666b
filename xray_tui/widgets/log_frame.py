"""The lines above and below a job's log: command, GPUs and start; why it waits and behind which jobs; the outcome."""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from engine.contract.text import STAMP, clean
from xray_tui.widgets.job_format import GLYPHS, took

if TYPE_CHECKING:
    from xray_tui.jobs.model.job import Job

MOST_BEFORE = 8
"""Maximum number of jobs to list of those that a waiting job is behind."""


def log_head(job: Job, jobs: Sequence[Job], gpus: Mapping[str, int]) -> Iterator[str]:
    """The lines above the log; `jobs` are those of the runs folder, and `gpus` are the indices by UUID."""
    program = () if job.spec.kind == "command" else ("xray-engine",)
    yield f"$ {clean(shlex.join((*program, *job.spec.argv)))}"
    if job.state.waiting:
        yield f"{job.state} since {_time(job.created)}: {clean(job.waits or 'not started yet')}"
        yield from _before(job, jobs)
    elif job.started:
        place = ", ".join(str(gpus.get(uuid, uuid)) for uuid in job.gpus)
        yield f"{f'GPU {place}' if place else 'CPU'}, started {_time(job.started)}"


def log_end(job: Job) -> Iterator[str]:
    """The outcome of an ended job, as the last line of its log."""
    if job.state.ended:
        outcome = f"{GLYPHS[job.state]} {job.state}" + (f": {clean(job.cause)}" if job.cause else "")
        yield " · ".join(filter(None, (outcome, took(job), _time(job.ended))))


def _before(job: Job, jobs: Sequence[Job]) -> Iterator[str]:
    """The active jobs on the GPUs, or on the CPU, and the jobs before this one in the queue."""
    from xray_tui.jobs.model.format import describe, in_view, whose

    here = [other for other in jobs if (other.wants == "none") is (job.wants == "none") and not other.state.ended]
    before = [other for other in in_view(here) if not other.state.waiting or "" < other.ticket < job.ticket]
    yield from ["behind:"] * bool(before)
    for other in before[:MOST_BEFORE]:
        line = f"  {GLYPHS[other.state]} {other.spec.run}{whose(other, job.user)}  {describe(other)}"
        yield clean(line).rstrip()
    if len(before) > MOST_BEFORE:
        yield f"  and {len(before) - MOST_BEFORE} more"


def _time(seconds: float | None) -> str:
    return time.strftime(STAMP, time.localtime(seconds)).rstrip() if seconds else ""
