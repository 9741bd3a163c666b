"""Formats of jobs for output: JSON values, a table, and a sentence."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from engine.contract.units import duration
from xray_tui.jobs.model.job import Job


def in_view(jobs: Sequence[Job]) -> tuple[Job, ...]:
    """Sort jobs, given newest first, for display: active; waiting, in queue order; ended, the latest end first."""
    at_work = [job for job in jobs if not job.state.waiting and not job.state.ended]
    waiting = sorted((job for job in jobs if job.state.waiting), key=lambda job: job.ticket)
    ended = sorted((job for job in jobs if job.state.ended), key=lambda job: job.ended or job.created, reverse=True)
    return (*at_work, *waiting, *ended)


def as_json(job: Job) -> dict[str, Any]:
    """The job as plain values for scripts."""
    return {
        "id": job.id,
        **{name: getattr(job.spec, name) for name in ("kind", "run", "gpu", "gpu_count", "priority")},
        **{name: getattr(job, name) for name in ("cause", "note", "waits", "attempt", "created", "started", "ended")},
        **{name: getattr(job, name) for name in ("exit_code", "peak_memory", "peak_gpu_memory", "user", "host")},
        "state": str(job.state),
        "gpus": list(job.gpus),
        "after": list(job.spec.after),
        "engine_git": None if job.source is None else job.source.git or None,
        "progress": None if job.progress is None else asdict(job.progress),
        "stop_asked_by": job.stop_asked_by,
    }


def as_table(jobs: Sequence[Job], me: str = "") -> str:
    """The jobs as a table. Jobs of users other than `me` show the user's name."""
    rows = [("ID", "KIND", "STATE", "RUN", "")]
    rows += [(job.id, job.spec.kind, str(job.state), job.spec.run + whose(job, me), describe(job)) for job in jobs]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    return "\n".join(
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[4]]).rstrip()
        for row in rows
    )


def whose(job: Job, me: str) -> str:
    """` (alice)` for another user's job; empty for a job of `me`, or if `me` is empty."""
    return f" ({job.user})" if me and job.user and job.user != me else ""


def describe(job: Job) -> str:
    """What the state alone does not tell: the end reason, the wait reason, the progress and notes."""
    parts = [] if job.cause is None else [job.cause]
    if job.waits is not None:
        parts.append(f"waits: {job.waits}")
    if job.progress is not None:
        eta = "" if job.progress.eta_s is None else f", {duration(job.progress.eta_s)} left"
        parts.append(f"{job.progress.phase} {job.progress.done}/{job.progress.total} {job.progress.unit}{eta}")
    if job.note is not None:
        parts.append(job.note)
    if job.stop_asked_by is not None:
        parts.insert(0, stopping(job, time.time()))
    return "; ".join(parts)


def stopping(job: Job, now: float) -> str:
    """Who asked for the stop, and the seconds until the engine is killed."""
    request = f"stopping: asked by {job.stop_asked_by}"
    if job.stop_asked is None or job.state.waiting:
        return request
    left = job.stop_asked + job.grace - now
    return f"{request}, killed in {left:.0f} s" if 0 < left <= job.grace else request
