"""The dashboard: GPUs, leaderboard, jobs, and the log or curve of the selected job, on one screen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, TypeVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal
from textual.content import Content
from textual.message import Message
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Static

from engine.contract.text import clean
from xray_tui.keymap import bindings
from xray_tui.screens.run_pane import RunPane
from xray_tui.widgets.gpu_strip import GpuStrip
from xray_tui.widgets.job_list import JobList
from xray_tui.widgets.key_bar import KeyBar
from xray_tui.widgets.leaderboard import Leaderboard
from xray_tui.widgets.live_log import LiveLog
from xray_tui.widgets.log_frame import log_end, log_head
from xray_tui.widgets.message_line import MessageLine

if TYPE_CHECKING:
    from textual.widgets import Input

    from xray_tui.board.model import Board
    from xray_tui.feeds import Feed
    from xray_tui.feeds.job_files import Followed
    from xray_tui.jobs.model.job import Job
    from xray_tui.widgets.chart import CurveView

TIMES_EVERY = 1.0
"""Interval in seconds at which displayed ages and durations are checked."""

NO_LOG = "The log of the selected job appears here."
Panel = TypeVar("Panel", bound=Widget)


class DashboardScreen(Screen[None]):
    """Shows data and posts messages; the app reads files and starts processes."""

    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (160, "-wide")]  # noqa: RUF012
    VERTICAL_BREAKPOINTS = [(0, "-short"), (32, "-tall")]  # noqa: RUF012
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("dashboard")]

    @dataclass
    class Uncovered(Message):
        """The dashboard became the top screen."""

    def __init__(self, metrics: tuple[str, ...] = (), gpu_detail: bool = False) -> None:
        super().__init__(classes="-idle -no-job")
        self.gpus = titled(GpuStrip(gpu_detail, id="gpus"), "GPUs")
        self.board = titled(Leaderboard(metrics, id="board", classes="panel"), "Leaderboard")
        self.jobs = titled(JobList(id="jobs", classes="panel"), "Jobs")
        self.log_view = titled(LiveLog(id="log", empty=NO_LOG, classes="panel"), "Log")
        self._title = Static(id="title")
        self._run_pane = RunPane(Static(), id="run", classes="panel")
        self._key_bar = KeyBar(id="keys")
        self._curve: CurveView | None = None
        """Created on first use."""
        self._followed: Followed | None = None
        self.reading: tuple[str, ...] = ()
        """Runs of the board whose log and curves are shown instead of those of the selected job."""
        self._had_curve = False
        """Whether the curve of the selected job was visible before."""
        self._jobs: Sequence[Job] = ()
        self._log_failure = ""

    def compose(self) -> ComposeResult:
        yield self._title
        yield self.gpus
        yield Horizontal(self.board, self._run_pane, id="upper")
        yield Horizontal(self.jobs, self.log_view, id="lower")
        yield MessageLine()
        yield self._key_bar

    def on_mount(self) -> None:
        self.board.focus()
        self.set_interval(TIMES_EVERY, self._refresh_times)

    def _refresh_times(self) -> None:
        if self.is_current:
            self.board.refresh_ages()
            self.jobs.refresh_times()
            self.gpus.refresh_age()

    def on_screen_resume(self) -> None:
        self.post_message(self.Uncovered())

    @property
    def job(self) -> Job | None:
        """The job whose log is shown: the newest training (or other job) of the chosen run, or the selected job."""
        if not self.reading:
            return self.jobs.job
        jobs = [job for job in self._jobs if job.spec.run == self.reading[0]]
        return next((job for job in jobs if job.spec.kind == "train"), jobs[0] if jobs else None)

    @property
    def run(self) -> str | None:
        """The current run: the selected job's if the jobs have the focus, otherwise that under the board's cursor."""
        if self.jobs.has_focus and self.jobs.job is not None:
            return self.jobs.job.spec.run
        return self.board.row.run if self.board.row else None

    def usable(self, action: str) -> bool:
        """Whether the key of this action can act now. The key bar shows no other keys; pressed, they say why not."""
        job, row = self.jobs.job, self.board.row
        match action:
            case "app.stop_job":
                return job is not None and not job.state.ended
            case "app.resume_job":
                return job is not None and job.spec.kind == "train" and job.state in ("stopped", "failed", "lost")
            case "app.hold_job":
                return job is not None and job.state.waiting
            case "open":
                return row is not None if self.board.has_focus else job is not None or self.gpus.has_focus
            case "mark" | "app.export" | "app.launch('evaluate')" | "filter":
                return row is not None
        return True

    # Data from the services

    def show_title(self, location: str) -> None:
        self._title.update(Content.assemble(("xray-tui  ", "bold"), location))

    def show_board(self, board: Board) -> None:
        self.board.show(board)
        self._board_changed()

    def show_jobs(self, jobs: Sequence[Job], others: str, validations: Mapping[str, Mapping[str, float]]) -> None:
        """`validations` maps the run of each running training to the metrics of its last validation."""
        self.set_class(not jobs, "-no-job")
        self.set_class(all(job.state.ended for job in jobs), "-idle")
        self._jobs = jobs
        self.jobs.show(jobs, others)
        self.board.show_training(validations)
        self._board_changed()
        self._show_log()

    def _board_changed(self) -> None:
        self.set_class(self.board.empty, "-empty")
        self._key_bar.read()

    def show_failure(self, feed: Feed, line: str) -> None:
        """Show the feed's failure in its panel; an empty line removes it."""
        if feed == "board":
            self.board.show_failure(line)
        elif feed == "jobs":
            self.jobs.show_failure(line)
        elif feed == "log":
            self._log_failure = line
            self._title_detail()
        else:
            self.gpus.show_failure(feed, line)

    def show_followed(self, followed: Followed) -> None:
        """Show the files, unless they are those of a job or a run that was left."""
        if followed.name == self._followed_name:
            self._followed = followed
            self._show_log()
            self._title_detail()

    @property
    def _followed_name(self) -> str:
        """The name of the files to show."""
        return self.reading[0] if self.reading else self.jobs.job.id if self.jobs.job else ""

    def _show_log(self) -> None:
        """Show the followed log between the lines about its job."""
        if self._followed is None or self._followed.name != self._followed_name:
            return
        log = self._followed.log
        if (job := self.job) is not None:
            head, end = tuple(log_head(job, self._jobs, self.gpus.indices)), tuple(log_end(job))
            self.log_view.show_log(log, "", head, end)
        else:
            has = "its epochs, from events.jsonl:" if log.lines else "it has no events.jsonl either, so there is no log"
            self.log_view.show_log(log, "", (f"The run has no job here; {has}",))

    @on(Leaderboard.Selected)
    def _show_run(self, event: Leaderboard.Selected) -> None:
        self._run_pane.show(event.row, event.board)

    @on(JobList.Selected)
    def _name_detail(self, event: JobList.Selected) -> None:
        if not self.reading:
            self._clear_detail("" if event.job else NO_LOG)

    def _clear_detail(self, empty: str = "") -> None:
        self._followed = None
        self._log_failure = ""
        self.log_view.show_nothing(empty)
        self._title_detail()
        self._key_bar.read()

    def _title_detail(self) -> None:
        job, followed = self.job, self._followed
        runs = [clean(run) for run in self.reading or ([job.spec.run] if job else [])]
        titled(self.log_view, "Log", self._log_failure or "".join(runs[:1]))
        if self._curve is not None:
            curves = (followed.curve, *followed.others) if followed else ()
            self._curve.show(*curves, names=[self._log_failure] if self._log_failure else runs)

    @on(JobList.Opened)
    async def read_log(self) -> None:
        """Focus the log of the selected job."""
        await self.action_detail("log")
        self.log_view.focus()

    @property
    def _detail(self) -> LiveLog | CurveView:
        """The log or the curve, whichever is visible."""
        return self._curve if self._curve is not None and self.has_class("-curve") else self.log_view

    async def read(self, which: str, runs: Sequence[str]) -> None:
        """Show the log or the curves of runs of the board on the whole screen, until Escape."""
        self.reading, self._had_curve = tuple(runs), self.has_class("-curve")
        self._clear_detail()
        self.add_class("-large")
        await self.action_detail(which)
        self._detail.focus()

    # Key actions

    async def action_detail(self, which: str) -> None:
        """Show the log or the curve beside the jobs."""
        focused = self._detail.has_focus
        if which == "curve" and self._curve is None:
            from xray_tui.widgets.chart import CurveView

            self._curve = CurveView(id="curve", classes="panel")
            self._title_detail()
            await self.mount(self._curve, after=self.log_view)
        self.set_class(which == "curve", "-curve")
        if focused or self.has_class("-idle"):  # an idle panel has room only while it has the focus
            self._detail.focus()

    def action_panel(self, name: str) -> None:
        """Focus a panel; the log's number also focuses the curve."""
        panel = self._detail if name == "log" else self.query_one(f"#{name}")
        if panel.display and panel.focusable:
            panel.focus()
        else:
            self.app.notify("There is no GPU" if name == "gpus" else "There is no job, so there is no log")

    def action_job_of_run(self) -> None:
        """Focus the newest job of the run under the board's cursor."""
        row = self.board.row
        if row is not None and not self.jobs.select_run(row.run):
            self.app.notify(f"No job of this list is of {row.name}")

    def action_gpu_detail(self) -> None:
        self.gpus.show_more()

    def action_sort(self, steps: int) -> None:
        self.board.sort_by(steps)

    def action_reverse(self) -> None:
        self.board.reverse()

    async def action_filter(self) -> None:
        """Focus the filter input; open it if necessary."""
        from xray_tui.widgets.clean_input import CleanInput

        if not self.query("#filter"):
            hint = "words in a run's name or file"
            words = CleanInput(self.board.words, placeholder=hint, id="filter", max_length=200, select_on_focus=False)
            await self.mount(words, before="#upper")
        self.query_one("#filter").focus()

    async def action_search(self) -> None:
        """Focus the log search input; open it if necessary."""
        from xray_tui.widgets.clean_input import CleanInput

        if not self.query("#search"):
            hint = "words in the log; Enter goes to the first match"
            words = CleanInput(self.log_view.words, placeholder=hint, id="search", max_length=200)
            await self.mount(words, after="#lower")
        self.query_one("#search").focus()

    async def on_input_changed(self, event: Input.Changed) -> None:
        (self.board.filter if event.input.id == "filter" else self.log_view.highlight)(event.value)

    async def on_input_submitted(self, event: Input.Submitted) -> None:
        if event.input.id == "search":
            self.log_view.search(event.value)
        await self._close(f"#{event.input.id}")

    async def _close(self, field: str) -> None:
        """Close the filter or search input and focus its panel."""
        await self.query(field).remove()
        (self.board if field == "#filter" else self.log_view).focus()

    def action_enlarge(self) -> None:
        """Toggle the log or curve between its panel and the whole screen."""
        self.toggle_class("-large")
        if self.reading:
            self.reading = ()
            self.set_class(self._had_curve, "-curve")
            self.board.focus()
            self.jobs.post_message(JobList.Selected(self.jobs.job))
        else:
            self._detail.focus()

    async def action_clear(self) -> None:
        """Undo one step: the log search, the enlarged log, the filter, then the marks."""
        if self.query("#search") or (self.log_view.has_focus and self.log_view.searches):
            self.log_view.end_search()
            await self._close("#search")
        elif self.has_class("-large"):
            self.action_enlarge()
        elif self.query("#filter") or self.board.words:
            self.board.filter("")
            await self._close("#filter")
        elif self.board.marked:
            self.board.unmark()
        else:
            self.board.focus()


def titled(panel: Panel, title: str, more: str = "") -> Panel:
    """Set the panel's title, and return the panel."""
    panel.border_title = Content.assemble((title, "bold"), f"  {more}" if more else "")
    return panel
