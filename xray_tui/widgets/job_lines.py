"""How a job reads on one line. Pure functions of a Job, a width and the time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.contract.text import clean
from xray_tui.widgets.text import age, bar, duration, fit

if TYPE_CHECKING:
    from xray_tui.jobs.job import Job

GLYPHS = {
    "queued": "◦",
    "starting": "▹",
    "running": "▶",
    "succeeded": "✓",
    "failed": "✗",
    "stopped": "■",
    "lost": "?",
}
NARROW_BELOW = 60
"""Cells under which a job shows its bar instead of its state's word while it has one."""

Part = tuple[str, str]
"""Text and the name of its style: "", "faint", "bar", or a state."""


def job_line(job: Job, width: int, now: float) -> list[Part]:
    """The job in `width` cells: glyph, state, run, bar, share done and what is left."""
    head: Part = (f" {GLYPHS[job.state]} ", str(job.state))
    if width < NARROW_BELOW:
        room = max(4, width - 3 - 19)
        return [head, (fit(clean(job.spec.run), room), ""), (" ", ""), *_tail(job, now, bar_width=6, words=False)]
    words: Part = (f"{job.state:<10}", str(job.state))
    kind: Part = (f"{clean(job.spec.kind):<9}", "faint")
    bar_width = max(8, min(24, width // 6))
    room = max(8, width - 3 - 19 - 1 - bar_width - 12 - 1)
    run: Part = (fit(clean(job.spec.run), room), "")
    return [head, words, kind, run, (" ", ""), *_tail(job, now, bar_width, words=True)]


def _tail(job: Job, now: float, bar_width: int, words: bool) -> list[Part]:
    """What a job is about: bar, share and ETA where it runs, else how and when it ended."""
    share = share_done(job)
    if share is not None and not job.state.ended:
        used, free = bar(share, bar_width)
        left = duration(job.progress.eta_s) if job.progress else ""
        return [(used, "bar"), (free, "faint"), (f" {share:>4.0%}", ""), (f" {left:>6}", "faint")]
    when = job.ended or job.started or job.created
    ago = age(now - when) if job.state.ended else duration(now - when)
    if words:
        since = f"{ago} ago" if job.state.ended and ago != "now" else ago
        return [(fit(took(job), bar_width), "faint"), (f"{since:>12}", "faint")]
    return [(f"{job.state:<10}", str(job.state)), (f"{ago:>8}", "faint")]


def share_done(job: Job) -> float | None:
    """How much is done, from 0 to 1; None where the engine does not say."""
    if job.progress is None or job.progress.total <= 0:
        return None
    return max(0.0, min(1.0, job.progress.done / job.progress.total))


def took(job: Job) -> str:
    """How long an ended job ran."""
    if job.started is None or job.ended is None:
        return ""
    return f"took {duration(max(0.0, job.ended - job.started))}"


def job_detail(job: Job) -> str:
    """One line more about a job: what it waits for, what it does, why it ended."""
    asked = f"{job.stop_asked_by} asked to stop it" if job.stop_asked_by and not job.state.ended else None
    parts = [job.waits, asked, job.cause if job.state.ended else None, job.note]
    if job.progress is not None and not job.state.ended:
        progress = job.progress
        parts.append(f"{progress.phase} {progress.done}/{progress.total} {progress.unit}".strip())
    said = " · ".join(clean(part) for part in parts if part) or f"{job.state} {took(job)}".strip()
    kind = clean(job.spec.kind)
    return said if said.startswith(kind) else f"{kind} · {said}"
