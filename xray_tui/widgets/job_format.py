"""Format a job on one line. Pure functions of a Job, a width and the time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.contract.text import clean
from engine.contract.units import duration
from xray_tui.widgets.format import Line, age, bar, cells, cells_of, fit

if TYPE_CHECKING:
    from xray_tui.jobs.model.job import Job

GLYPHS = {
    "queued": "◦",
    "held": "‖",
    "blocked": "⊘",
    "starting": "▹",
    "running": "▶",
    "succeeded": "✓",
    "failed": "✗",
    "stopped": "■",
    "lost": "?",
}
STATE_FROM, KIND_FROM = 60, 56
"""Widths in cells from which a job's line shows its state as a word beside its bar, and its kind as a word. A narrower
line shows one letter for the kind, which is also its launch key."""


def job_line(job: Job, width: int, now: float, me: str = "") -> Line:
    """The job in `width` cells: glyph, state, kind, run, bar or phase, share done and ETA. Jobs of users other than
    `me` also show the user's name. The styles are faint, bar and the names of the states."""
    from xray_tui.jobs.model.format import whose  # not needed for the start of the app

    parts: Line = [(f" {GLYPHS[job.state]} ", str(job.state))]
    if width >= STATE_FROM:
        parts.append((f"{job.state:<10}", str(job.state)))
    kind = clean(job.spec.kind)
    parts.append((f"{kind:<9}" if width >= KIND_FROM else f"{kind[:1]:<2}", "faint"))
    bar_width = max(8, min(24, width // 6)) if width >= STATE_FROM else 12 if width >= KIND_FROM else 7
    tail = _tail(job, now, bar_width, words=width >= STATE_FROM)
    room = width - cells_of([*parts, *tail]) - 1
    return [*parts, (fit(clean(job.spec.run + whose(job, me)), max(4, room)), ""), (" ", ""), *tail]


def _tail(job: Job, now: float, bar_width: int, words: bool) -> Line:
    """Bar or phase, share and ETA of an active job that reports progress; otherwise its running time and age."""
    share = share_done(job)
    if share is not None and job.progress is not None and not job.state.ended:
        end: Line = [(f" {share:>4.0%}", ""), (f" {duration(job.progress.eta_s):>6}", "faint")]
        phase = clean(job.progress.phase)
        if phase.startswith(job.spec.kind):
            used, free = bar(share, bar_width)
            return [(used, "bar"), (free, "faint"), *end]
        return [(_first_words(phase, bar_width), "bar"), *end]  # a bar would look like the progress of the whole job
    when = job.ended or job.started or job.created
    ago = age(now - when) if job.state.ended else duration(now - when)
    if words:
        since = f"{ago} ago" if job.state.ended and ago != "now" else ago
        return [(fit(took(job), bar_width), "faint"), (f"{since:>12}", "faint")]
    return [(f"{job.state:<10}", str(job.state)), (f"{ago:>{bar_width + 2}}", "faint")]


def _first_words(text: str, width: int) -> str:
    """As many whole words as fit, or the beginning of the first word."""
    while cells(text) > width and " " in text:
        text = text.rpartition(" ")[0]
    return fit(text[:width], width)


def share_done(job: Job) -> float | None:
    """The share done, from 0 to 1; None if the engine reports no total."""
    if job.progress is None or job.progress.total <= 0:
        return None
    return max(0.0, min(1.0, job.progress.done / job.progress.total))


def took(job: Job) -> str:
    """Running time of an ended job; empty if unknown."""
    if job.started is None or job.ended is None:
        return ""
    return f"took {duration(max(0.0, job.ended - job.started))}"


def job_detail(job: Job, now: float) -> str:
    """A second line about a job: why it waits, its progress or why it ended, and its note."""
    from xray_tui.jobs.model.format import stopping  # not needed for the start of the app

    stop = stopping(job, now) if job.stop_asked_by and not job.state.ended else None
    parts = [job.waits, stop, job.cause if job.state.ended else None, job.note]
    if job.progress is not None and not job.state.ended:
        progress = job.progress
        parts.append(f"{progress.phase} {progress.done}/{progress.total} {progress.unit}".strip())
    text = " · ".join(clean(part) for part in parts if part) or f"{job.state} {took(job)}".strip()
    kind = clean(job.spec.kind)
    return text if text.startswith(kind) else f"{kind} · {text}"
