"""The app: starts the services, passes their messages to the screens and handles the keys."""

from __future__ import annotations

import time
from collections.abc import Iterable
from functools import partial
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, ClassVar

from textual import events, on
from textual.app import SystemCommand
from textual.binding import BindingType
from textual.message import Message
from textual.screen import Screen

from engine.contract.text import clean
from xray_tui.app import actions, messages
from xray_tui.app.job_keys import JobKeys
from xray_tui.app.run_keys import RunKeys
from xray_tui.app.services import Services
from xray_tui.app.themes import choose_theme, variable_defaults
from xray_tui.feeds.board_feed import BoardFeed
from xray_tui.keymap import bindings, keymap_problems, usable_keymap, where_it_works
from xray_tui.screens.dashboard import DashboardScreen
from xray_tui.settings import Settings, runs_folder, settings_path
from xray_tui.widgets.columns import resolve_metrics
from xray_tui.widgets.gpu_strip import GpuStrip
from xray_tui.widgets.host_line import location
from xray_tui.widgets.job_list import JobList
from xray_tui.widgets.leaderboard import Leaderboard

if TYPE_CHECKING:
    from textual.timer import Timer

    from xray_tui.board.model import Board
    from xray_tui.feeds.gpu_feed import Gpus
    from xray_tui.forms.context import Drafts, Kind
    from xray_tui.forms.options import Launch
    from xray_tui.jobs.model.job import Job
    from xray_tui.screens.gpu import GpuScreen
    from xray_tui.status.report import Report

REST_DELAY = 0.12
"""Seconds that a job must stay selected before it is followed; a held key moves on faster."""

BOARD_WAIT = 0.5
"""Seconds after which GPUs and jobs are read even if there is no board yet."""


class XrayApp(RunKeys, JobKeys):
    """Shows one runs folder in one terminal. All state is in files, so a restarted app shows the same."""

    TITLE = "xray-tui"
    CSS_PATH: ClassVar[list[str | PurePath]] = ["../styles/app.tcss", "../styles/dashboard.tcss"]
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("app")]

    def __init__(
        self,
        runs: Path | None,
        settings: Settings | None = None,
        problems: Iterable[str] = (),
        feed: BoardFeed | None = None,
    ) -> None:
        """`problems` are shown at the start; `feed` is a feed that already reads `runs`, if there is one."""
        super().__init__()
        self.runs = runs.absolute() if runs else None
        self.settings = settings or Settings()
        self.problems = [*problems, *keymap_problems(self.settings.keymap)]
        self.services = Services(self._post, self.settings, feed)
        self._board: Board | None = None
        self._gpus: Gpus | None = None
        self._jobs: tuple[Job, ...] = ()
        self._follow_later: Timer | None = None
        self._drafts: Drafts = {}
        self._away_report: Report | None = None
        """The away summary, until it is shown; it waits until the dashboard is the top screen."""
        self._dashboard = DashboardScreen(self.settings.columns, self.settings.gpu_detail)
        self.problems += choose_theme(self, self.settings.theme)

    def get_theme_variable_defaults(self) -> dict[str, str]:
        return variable_defaults(self.current_theme)

    def get_default_screen(self) -> Screen[None]:
        return self._dashboard

    def on_mount(self) -> None:
        self.set_keymap(usable_keymap(self.settings.keymap))
        for line in self.problems:
            self.say(line, "warning")
        if self.runs is None:
            from xray_tui.screens.runs_folder import RunsFolderScreen

            self.push_screen(RunsFolderScreen(Path.cwd() / "runs"), self._start)
        else:
            self._start(self.runs)

    def _start(self, runs: Path | None) -> None:
        """Start the services of this runs folder; without one, exit."""
        if runs is None:
            self.exit()
            return
        from xray_tui.system.process import host, user

        self.runs = runs.absolute()
        self._dashboard.show_title(location(self.runs))
        self.services.start(self.runs)
        self.set_timer(BOARD_WAIT, lambda: self.services.start_later(self._board))
        self.name_terminal(f"{user()}@{host()} {self.runs}")

    @property
    def farewell(self) -> str | None:
        """The jobs that continue after the app, and how to look at them; None if there are none."""
        default = self.runs == runs_folder(None, self.settings).absolute()
        return None if self.runs is None else actions.farewell(self._jobs, None if default else self.runs)

    def on_unmount(self) -> None:
        self.services.stop()

    def _post(self, message: Message) -> None:
        """Post from any thread; messages are dropped while the app exits."""
        if self.is_running:
            self.post_message(message)

    # Messages of the services

    @on(messages.FeedMessage)
    def take(self, message: messages.FeedMessage) -> None:
        """Show what a service reports. Ignore messages during the exit, when the screens are being removed."""
        dashboard = self._dashboard
        match message:
            case _ if self._exit:
                pass
            case messages.BoardChanged(board):
                self._take_board(board)
            case messages.BoardPolled(reason):
                dashboard.board.show_polling(clean(reason))
            case messages.JobsChanged(jobs, others, validations):
                self._jobs = jobs
                dashboard.show_jobs(jobs, others, validations)
                self.services.update_jobs(jobs)
            case messages.GpuSampled(gpus):
                self._take_gpus(gpus)
            case messages.HostSampled(host):
                dashboard.gpus.show_host(host)
            case messages.FollowedChanged(followed):
                dashboard.show_followed(followed)
            case messages.FeedFailed(feed, line):
                if feed == "board":
                    self.call_after_refresh(self.services.start_later, self._board)  # even if the board fails
                dashboard.show_failure(feed, clean(line))
            case messages.AwaySummary(report):
                self._away_report = report
                self._show_away_report()
            case messages.Notice(line, severity, bell):
                self.say(line, severity)
                if bell:
                    self.bell()

    def _take_board(self, board: Board) -> None:
        if self._board is None:
            self.call_after_refresh(self.services.start_later, board)
            for line in resolve_metrics(self.settings.columns, board.rules)[1]:
                self.problems.append(line)
                self.say(line, "warning")
        self._board = board
        self._dashboard.show_board(board)
        self.services.update_board(board)

    def _take_gpus(self, gpus: Gpus) -> None:
        from xray_tui.screens.gpu import GpuScreen

        self._gpus = gpus
        self._dashboard.gpus.show(gpus)
        for screen in self.screen_stack:
            if isinstance(screen, GpuScreen):
                screen.show(gpus)
        self._pace_gpus()

    async def on_event(self, event: events.Event) -> None:
        if isinstance(event, events.Key):
            self.services.used()
        await super().on_event(event)

    def _show_away_report(self) -> None:
        """Show the away summary when the dashboard is the top screen."""
        if self._away_report is None or self._exit or self.screen is not self._dashboard:
            return
        from xray_tui.screens.text_screen import WIDTH
        from xray_tui.screens.while_away import AwayScreen
        from xray_tui.status.report import entries
        from xray_tui.system.process import user

        report, self._away_report = self._away_report, None
        self.push_screen(AwayScreen(entries(report, WIDTH, user())), self._open_log)

    async def _open_log(self, job: str | None) -> None:
        """Select the job and focus its log; do nothing for None."""
        if job is not None and self._dashboard.jobs.select(job):
            await self._dashboard.read_log()
        elif job is not None:
            self.say("The job is not in the list any more")

    def action_away(self) -> None:
        """Show again what happened since the previous visit, up to now."""
        from xray_tui.status.report import build_report

        since = self.services.welcome_back.since if self.services.welcome_back else None
        if (board := self._board) is None or since is None:
            self.say("No earlier visit to this runs folder is known")
        else:
            build = partial(build_report, self._jobs, board, since, time.time())
            self.run_worker(lambda: self._post(messages.AwaySummary(build())), thread=True, exit_on_error=False)

    def on_dashboard_screen_uncovered(self) -> None:
        self.show_message()
        self._pace_gpus()
        self._show_away_report()

    def _pace_gpus(self) -> None:
        """Sample the GPUs often only while the dashboard (even behind a question) or the GPU screen shows them."""
        self.services.show_gpus(not any(getattr(screen, "covers", False) for screen in self.screen_stack))

    def on_job_list_selected(self, message: JobList.Selected) -> None:
        """Follow the selected job once the cursor rests, because each follower starts a thread that opens files."""
        if not self._dashboard.reading:
            job = message.job
            runs = [job.spec.run] if job is not None and job.readable else []
            self._follow(job.id if job else "", job, runs)

    def _follow(self, name: str, job: Job | None, runs: list[str]) -> None:
        """Follow these files after a delay, and stop following others at once."""
        if self._follow_later is not None:
            self._follow_later.stop()
        self.services.follow_files("", None, ())
        self._follow_later = self.set_timer(REST_DELAY, partial(self.services.follow_files, name, job, runs))

    def on_gpu_strip_opened(self, message: GpuStrip.Opened) -> None:
        from xray_tui.screens.gpu import GpuScreen

        if self._gpus is not None:
            self.push_screen(GpuScreen(message.gpu, self._gpus))

    def on_gpu_screen_stop_wanted(self, message: GpuScreen.StopWanted) -> None:
        """Offer to stop the process's job if it belongs to this runs folder; other processes are never signalled."""
        if self._gpus is not None:
            process = message.process
            job = actions.job_of_process(process.pid, process.user, self._gpus, self._jobs)
            if isinstance(job, str):
                self.say(job)
            else:
                self._ask_to_stop(job)

    def on_leaderboard_opened(self, message: Leaderboard.Opened) -> None:
        from xray_tui.screens.run import RunScreen

        if message.row.rank == 0:
            self._dashboard.action_job_of_run()
        elif self._board is not None:
            self.push_screen(RunScreen(message.row, self._board, self._jobs), self._open_log)

    # Key actions

    def action_launch(self, kind: Kind) -> None:
        """Open a launch form, filled from the run under the cursor and the marked runs."""
        from xray_tui.gpu.snapshot import GpuSnapshot

        if self.runs is not None:
            current, marked = self._dashboard.run, [row.run for row in self._dashboard.board.marked_rows]
            form = actions.launch_form(
                kind, self.runs, self.settings, self._jobs, current, marked,
                lambda: self._gpus.snapshot if self._gpus else GpuSnapshot(), self._drafts,
            )  # fmt: skip
            self.push_screen(form, self._launch)

    def _launch(self, launch: Launch | None) -> None:
        if launch is not None and self.runs is not None:
            if launch.specs[0].kind == "blend":
                self._dashboard.board.unmark()
            self.services.run_action(partial(actions.launch, launch, self.settings, self.runs))

    async def action_read_run(self, which: str) -> None:
        """Show the log of the run under the board's cursor, or its curve and those of the marked runs."""
        board = self._dashboard.board
        if board.row is None:
            self.say("There is no run under the cursor")
            return
        marked = [row.run for row in board.marked_rows if row.run != board.row.run] if which == "curve" else []
        runs = [board.row.run, *marked]
        await self._dashboard.read(which, runs)
        self._follow(runs[0], self._dashboard.job, runs)

    def action_export(self) -> None:
        """Export the board as Markdown."""
        if self._board is None:
            self.say("There is no board to export yet", "warning")
        else:
            board, target = self._board, self.settings.export
            self.services.run_action(partial(actions.export, board, target, self._gpus, self._jobs))

    def action_rescan(self) -> None:
        """Read the whole runs folder again, for file systems that report no changes."""
        self.services.rescan()

    def action_problems(self) -> None:
        from xray_tui.screens.problems import ProblemsScreen

        if self._board is not None:
            self.push_screen(ProblemsScreen(self._board, self.problems))

    def action_help(self) -> None:
        from xray_tui.screens.help import help_lines
        from xray_tui.screens.text_screen import TextScreen

        self.push_screen(TextScreen("Help", help_lines(usable_keymap(self.settings.keymap), settings_path())))

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        from xray_tui.app.palette import palette_commands

        return palette_commands(self, self._dashboard, usable_keymap(self.settings.keymap))

    async def _check_bindings(self, key: str, priority: bool = False) -> bool:
        """Run the key's command; if the key works only in another panel, say in which."""
        if await super()._check_bindings(key, priority):
            return True
        if not priority and self.screen is self._dashboard:
            sentence = where_it_works(key, usable_keymap(self.settings.keymap))
            if sentence is not None:
                self.say(sentence)
        return False
