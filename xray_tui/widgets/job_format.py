"""How a job reads on one line. Pure functions of a Job, a width and the time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.contract.text import clean
from engine.contract.units import duration
from xray_tui.widgets.format import age, bar, cells, fit

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
"""Cells from which a job's line has its state as a word beside its bar, and its kind as a word: else the kind is one
letter, the key that starts such a job."""

Part = tuple[str, str]
"""Text and the name of its style: "", "faint", "bar", or a state."""


def job_line(job: Job, width: int, now: float, me: str = "") -> list[Part]:
    """The job in `width` cells: glyph, state, kind, run, bar or phase, share done and what is left; the run of a job of
    another than `me` with its user."""
    from xray_tui.jobs.model.format import whose  # an app that starts has no jobs yet

    parts: list[Part] = [(f" {GLYPHS[job.state]} ", str(job.state))]
    if width >= STATE_FROM:
        parts.append((f"{job.state:<10}", str(job.state)))
    kind = clean(job.spec.kind)
    parts.append((f"{kind:<9}" if width >= KIND_FROM else f"{kind[:1]:<2}", "faint"))
    bar_width = max(8, min(24, width // 6)) if width >= STATE_FROM else 12 if width >= KIND_FROM else 7
    tail = _tail(job, now, bar_width, words=width >= STATE_FROM)
    room = width - sum(cells(text) for text, _ in (*parts, *tail)) - 1
    return [*parts, (fit(clean(job.spec.run + whose(job, me)), max(4, room)), ""), (" ", ""), *tail]


def _tail(job: Job, now: float, bar_width: int, words: bool) -> list[Part]:
    """What a job is about: bar or phase, share and ETA where it runs, else how and when it ended."""
    share = share_done(job)
    if share is not None and job.progress is not None and not job.state.ended:
        end: list[Part] = [(f" {share:>4.0%}", ""), (f" {duration(job.progress.eta_s):>6}", "faint")]
        phase = clean(job.progress.phase)
        if phase.startswith(job.spec.kind):
            used, free = bar(share, bar_width)
            return [(used, "bar"), (free, "faint"), *end]
        return [(_first_words(phase, bar_width), "bar"), *end]  # a bar would pass for the whole job's
    when = job.ended or job.started or job.created
    ago = age(now - when) if job.state.ended else duration(now - when)
    if words:
        since = f"{ago} ago" if job.state.ended and ago != "now" else ago
        return [(fit(took(job), bar_width), "faint"), (f"{since:>12}", "faint")]
    return [(f"{job.state:<10}", str(job.state)), (f"{ago:>{bar_width + 2}}", "faint")]


def _first_words(text: str, width: int) -> str:
    """As many whole words as fit, or the beginning of the first."""
    while cells(text) > width and " " in text:
        text = text.rpartition(" ")[0]
    return fit(text[:width], width)


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


def _stopping(job: Job, now: float) -> str:
    """Who asked for the stop, and how many seconds the engine still has to save and end."""
    said = f"{job.stop_asked_by} asked to stop it"
    if job.stop_asked is None or job.state.waiting:
        return said
    left = job.stop_asked + job.grace - now
    return f"{said}, killed in {left:.0f} s" if 0 < left <= job.grace else said


def job_detail(job: Job, now: float) -> str:
    """One line more about a job: what it waits for, what it does, why it ended."""
    asked = _stopping(job, now) if job.stop_asked_by and not job.state.ended else None
    parts = [job.waits, asked, job.cause if job.state.ended else None, job.note]
    if job.progress is not None and not job.state.ended:
        progress = job.progress
        parts.append(f"{progress.phase} {progress.done}/{progress.total} {progress.unit}".strip())
    said = " · ".join(clean(part) for part in parts if part) or f"{job.state} {took(job)}".strip()
    kind = clean(job.spec.kind)
    return said if said.startswith(kind) else f"{kind} · {said}"
