"""Format a job on one line. Pure functions of a Job, a width and the time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from engine.contract.text import clean
from engine.contract.units import duration
from xray_tui.widgets.format import Line, age, bar, cells, cut_apart, cut_end, fit

if TYPE_CHECKING:
    from xray_tui.jobs.model.job import Job

GLYPHS = {
    "queued": "◦",
    "held": "‖",
    "blocked": "⊘",
    "starting": "▹",
    "running": "▶",
    "stopping": "□",
    "succeeded": "✓",
    "failed": "✗",
    "stopped": "■",
    "lost": "?",
}
STATE, KIND, KIND_LETTER, TAIL = 10, 9, 2, 12
"""Widths in cells: state and kind as words, the first letter of the kind (its launch key), and share with ETA."""
WIDEST_BAR = 24


class Layout(NamedTuple):
    """The columns of the job lines at one width, in cells. Without a column of its own, the state of a job replaces the
    bar of a job that reports no progress."""

    state: int
    kind: int
    bar: int
    names: Mapping[str, str]
    """Maps each job's name to the name as shown."""

    @classmethod
    def of(cls, jobs: Iterable[Job], width: int, me: str = "") -> Layout:
        """Names get the room that they need before the other columns do."""
        names = dict.fromkeys(name_of(job, me) for job in jobs)
        longest = max(map(cells, names), default=4)
        for state, kind, bar_width in ((STATE, KIND, 12), (0, KIND, 12), (0, KIND, 5), (0, KIND_LETTER, 5)):
            room = width - state - kind - bar_width - TAIL - 4
            if room >= longest:
                break
        shown = max(4, min(longest, room))
        return cls(state, kind, min(WIDEST_BAR, bar_width + max(0, room - shown)), cut_apart(names, shown))


def name_of(job: Job, me: str) -> str:
    """The run; jobs of users other than `me` also show the user's name."""
    from xray_tui.jobs.model.format import whose  # not needed for the start of the app

    return clean(job.spec.run + whose(job, me))


def state_of(job: Job) -> str:
    """The job's state, or `stopping` from the request to stop it until its end."""
    return "stopping" if job.stop_asked_by and not job.state.ended else str(job.state)


def counts(jobs: Iterable[Job]) -> str:
    """The number of jobs that have not ended, by state: `1 running · 3 waiting · 1 held`."""
    words = {"queued": "waiting", "starting": "running"}
    order = ("running", "stopping", "waiting", "held", "blocked")
    states = Counter(words.get(state, state) for state in map(state_of, jobs))
    return " · ".join(f"{states[state]} {state}" for state in order if states[state])


def job_line(job: Job, width: int, now: float, layout: Layout, me: str = "") -> Line:
    """The job in `width` cells: glyph, state, kind, run, and bar, share done and ETA, or its times. The styles are
    faint, bar and the names of the states."""
    state, kind = state_of(job), clean(job.spec.kind)
    word = f"{kind:<{KIND}}" if layout.kind == KIND else f"{kind[:1]:<{KIND_LETTER}}"
    room = max(4, width - layout.state - layout.kind - layout.bar - TAIL - 4)
    name = fit(layout.names[name_of(job, me)], room)
    sign = f" {GLYPHS[state]} {state:<{STATE}}"[: 3 + layout.state]
    return [
        (sign, state),
        (word, "faint"),
        (f"{name} ", ""),
        *_tail(job, "" if layout.state else state, now, layout.bar),
    ]


def _tail(job: Job, state: str, now: float, bar_width: int) -> Line:
    """Bar or phase, share and ETA of an active job that reports progress; otherwise `state`, running time and age. A
    job that is being stopped counts down the seconds until it is killed."""
    share = share_done(job)
    if share is not None and job.progress is not None and state_of(job) == job.state and not job.state.ended:
        phase = clean(job.progress.phase)
        used, free = bar(share, bar_width)
        if not phase.startswith(job.spec.kind):  # a bar would look like the progress of the whole job
            used, free = "", fit(cut_end(phase, bar_width), bar_width)
        eta = duration(job.progress.eta_s)
        return [(used, "bar"), (free, "faint"), (f" {share:>4.0%}", ""), (f" {eta:>6}", "faint")]
    when = job.ended or job.started or job.created
    ago = age(now - when) if job.state.ended else duration(now - when)
    if left := _kill_in(job, now):
        ago = f"{left:.0f} s"
    word = f"{state:<{STATE}}" if state else ""
    room = bar_width + TAIL - len(word) - 7
    more = took(job) if cells(took(job)) <= room else ""
    return [(word, state), (f"{fit(more, room)}{ago:>7}", "faint")]


def share_done(job: Job) -> float | None:
    """The share done, from 0 to 1; None if the engine reports no total."""
    progress = job.progress
    return max(0.0, min(1.0, progress.done / progress.total)) if progress and progress.total > 0 else None


def took(job: Job) -> str:
    """Running time of an ended job; empty if unknown."""
    if job.started is None or job.ended is None:
        return ""
    return f"took {duration(max(0.0, job.ended - job.started))}"


def _kill_in(job: Job, now: float) -> float | None:
    """Seconds until the engine of a job that was asked to stop is killed; None if it will not be."""
    is_active = job.stop_asked is not None and not (job.state.waiting or job.state.ended)
    left = (job.stop_asked or 0.0) + job.grace - now
    return left if is_active and 0 < left <= job.grace else None


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
