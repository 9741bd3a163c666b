"""The job list: one line per job. The log or curve of the job under the cursor is shown beside it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from textual.binding import BindingType
from textual.content import Content
from textual.message import Message
from textual.strip import Strip

from engine.contract.text import clean
from xray_tui.keymap import bindings
from xray_tui.widgets.job_format import GLYPHS, Layout, counts, job_detail, job_line
from xray_tui.widgets.list_view import ListView

if TYPE_CHECKING:
    from xray_tui.jobs.model.job import Job


class JobList(ListView):
    """Lists the jobs. The cursor stays on its job, unless that is the newest or has ended: then it moves to a new job
    that is listed before it."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings("jobs")]
    STYLES = "jobs"
    COMPONENT_CLASSES: ClassVar[set[str]] = {f"jobs--{name}" for name in ("cursor", "faint", "bar", *GLYPHS)}

    @dataclass
    class Selected(Message):
        """The job under the cursor changed."""

        job: Job | None

    @dataclass
    class Opened(Message):
        """The user wants to read the job's log."""

        job: Job

    def __init__(self, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._jobs: tuple[Job, ...] = ()
        self._others = ""
        self._me = ""
        self._layout: tuple[int, Layout] | None = None
        """The width of a line and the columns at that width."""
        self._selected: str | None = None
        self._newest: str | None = None
        self._failure = ""

    @property
    def row_count(self) -> int:
        return len(self._jobs)

    @property
    def job(self) -> Job | None:
        """The job under the cursor."""
        return self._jobs[self.cursor] if 0 <= self.cursor < len(self._jobs) else None

    def show(self, jobs: Sequence[Job], others: str = "") -> None:
        """Show the jobs, given newest first. If the cursor is on the newest or on an ended job, it moves to the first
        new job that runs, or to the first in the queue. `others` is a line about the jobs of other users."""
        from xray_tui.jobs.model.format import in_view
        from xray_tui.system.process import user

        self._others = others
        self._me = user()
        following = self.job is None or self.job.id == self._newest or self.job.state.ended
        known = {job.id for job in self._jobs}
        self._jobs, self._newest = in_view(jobs), jobs[0].id if jobs else None
        self._layout = None
        ids = [job.id for job in self._jobs]
        new = []
        if following and known:
            new = [j for j in self._jobs if j.id not in known or (j.id == self._selected and not j.state.ended)]
        first = min(new, key=lambda job: (job.state.waiting, job.ticket, job.created), default=None)
        selected = first.id if first else self._selected
        self.replaced_rows(ids.index(selected) if selected in ids else None)
        self._title()
        self.cursor_moved()

    def select(self, job: str) -> bool:
        """Put the cursor on this job; return whether it is in the list."""
        index = next((index for index, shown in enumerate(self._jobs) if shown.id == job), None)
        if index is not None:
            self.move_to(index)
        return index is not None

    def cursor_moved(self) -> None:
        job = self.job
        self.show_subtitle(Content(job_detail(job, time.time())) if job else None)
        if job is None or job.id != self._selected:
            self._selected = job.id if job else None
            self.post_message(self.Selected(job))

    def select_run(self, run: str) -> bool:
        """Focus the list with the cursor on the newest job of this run; return whether there is one."""
        index = next((index for index, job in enumerate(self._jobs) if job.spec.run == run), None)
        if index is not None:
            self.move_to(index)
            self.focus()
        return index is not None

    def show_failure(self, line: str) -> None:
        """Show why the list may be out of date; an empty line removes it."""
        self._failure = line
        self._title()

    def _title(self) -> None:
        parts = list(filter(None, (self._failure, counts(self._jobs), clean(self._others))))
        self.border_title = Content.assemble(("Jobs", "bold"), f"  {' · '.join(parts)}" if parts else "")

    def refresh_times(self) -> None:
        """Redraw the lines whose displayed times have changed."""
        if self.job is not None and self.job.stop_asked is not None:
            self.show_subtitle(Content(job_detail(self.job, time.time())))
        self.refresh_changed()

    def draw_row(self, index: int, width: int) -> Strip:
        if self._layout is None or self._layout[0] != width:
            self._layout = width, Layout.of(self._jobs, width, self._me)
        parts = job_line(self._jobs[index], width, time.time(), self._layout[1], self._me)
        return self.strip_of(parts, width, index == self.cursor)

    def draw_empty(self, y: int, width: int) -> Strip:
        if y == 0 and not self._jobs and not self._failure:
            hint = " No jobs yet: t trains a network, e evaluates a run, b blends."
            return self.strip_of([(hint, "faint")], width)
        return super().draw_empty(y, width)

    def action_open(self) -> None:
        if self.job is None:
            self.app.notify("There is no job under the cursor")
        else:
            self.post_message(self.Opened(self.job))
