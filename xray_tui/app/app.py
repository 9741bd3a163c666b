"""The app: starts the services, passes their messages to the screens and handles the keys."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Iterable
from functools import partial
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, ClassVar

from textual import events
from textual.app import SystemCommand
from textual.binding import BindingType
from textual.screen import Screen

from engine.contract.names import JOBS, LOG
from engine.contract.text import clean
from xray_tui.app import job_actions
from xray_tui.app.key_queue import KeysInOrder
from xray_tui.app.messages import (
    AwaySummary,
    BoardChanged,
    BoardPolled,
    FeedFailed,
    FollowedChanged,
    GpuSampled,
    HostSampled,
    JobsChanged,
    Notice,
)
from xray_tui.app.services import FeedMessage, Services
from xray_tui.app.themes import XRAY, variable_defaults
from xray_tui.feeds.board_feed import BoardFeed
from xray_tui.keymap import COMMANDS, bindings, keymap_problems, shown_keys, usable_keymap
from xray_tui.screens.dashboard import DashboardScreen
from xray_tui.settings import Settings, settings_path
from xray_tui.widgets.columns import resolve_metrics
from xray_tui.widgets.gpu_strip import GpuStrip
from xray_tui.widgets.job_list import JobList
from xray_tui.widgets.leaderboard import Leaderboard

if TYPE_CHECKING:
    from textual.notifications import SeverityLevel
    from textual.timer import Timer

    from xray_tui.board.model import Board
    from xray_tui.feeds.ended_jobs import EndedJobs
    from xray_tui.feeds.gpu_feed import Gpus
    from xray_tui.forms.context import Kind
    from xray_tui.forms.options import Launch
    from xray_tui.jobs.model.job import Job
    from xray_tui.screens.gpu import GpuScreen
    from xray_tui.status.report import Report

REST_DELAY = 0.12
"""Seconds between two selections below which the job is not followed yet; a held key repeats faster."""


class XrayApp(KeysInOrder[None]):
    """One runs folder in one terminal. All state is in files, so a restarted app shows the same."""

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
        super().__init__(ansi_color=True if os.environ.get("NO_COLOR") else None)
        self.runs = runs.absolute() if runs else None
        self.settings = settings or Settings()
        self.problems = [*problems, *keymap_problems(self.settings.keymap)]
        self._services = Services(self._post, self.settings, feed)
        self._board: Board | None = None
        self._gpus: Gpus | None = None
        self._gpu_screen: GpuScreen | None = None
        """The open GPU screen."""
        self._jobs: tuple[Job, ...] = ()
        self._selected_at = -REST_DELAY
        """Time of the last job selection, by the monotonic clock."""
        self._follow_later: Timer | None = None
        self._ended_jobs: EndedJobs | None = None
        self._away_report: Report | None = None
        """The away summary until it is shown, which needs the dashboard on top."""
        self._dashboard = DashboardScreen(self.settings.columns, self.settings.gpu_detail)
        self.register_theme(XRAY)
        self._choose_theme()

    def _choose_theme(self) -> None:
        name = self.settings.theme
        if name not in self.available_themes:
            known = ", ".join(sorted(self.available_themes))
            self.problems.append(f"settings: theme: {clean(name)}: unknown theme; expected one of {known}")
            name = XRAY.name
        self.theme = name

    def get_theme_variable_defaults(self) -> dict[str, str]:
        return variable_defaults(self.current_theme)

    @property
    def _background_screens(self) -> list[Screen[object]]:
        """The screens visible behind the current one. Textual includes the screen below an opaque screen, and then
        repaints the opaque one completely with each change below it."""
        return [] if self.screen.styles.background.a == 1 else super()._background_screens

    def get_default_screen(self) -> Screen[None]:
        return self._dashboard

    def on_mount(self) -> None:
        self.call_after_refresh(self._use_daemon_threads)
        self.set_keymap(usable_keymap(self.settings.keymap))
        self.app_resume_signal.subscribe(self, lambda _: self.refresh(layout=True))
        if not self.is_headless:
            for number in (signal.SIGTERM, signal.SIGHUP):
                asyncio.get_running_loop().add_signal_handler(number, self._end_by_signal, number)
        for line in self.problems:
            self.say(line, "warning")
        if self.runs is None:
            self._ask_for_runs()
        else:
            self._services.start(self.runs)

    def _use_daemon_threads(self) -> None:
        """Run thread workers in daemon threads; called after the first frame, to import the executor late."""
        from xray_tui.app.daemon_threads import DaemonThreads

        asyncio.get_running_loop().set_default_executor(DaemonThreads())

    def _end_by_signal(self, number: int) -> None:
        """Exit as `q` does, so that the terminal is restored."""
        self.exit(return_code=128 + number)

    def _ask_for_runs(self) -> None:
        from xray_tui.screens.runs_folder import RunsFolderScreen

        def answered(folder: Path | None) -> None:
            if folder is None:
                self.exit()
            else:
                self.runs = folder.absolute()
                self._services.start(self.runs)

        self.push_screen(RunsFolderScreen(Path.cwd() / "runs"), answered)

    # Services

    def _start_later_services(self) -> None:
        from xray_tui.feeds.ended_jobs import EndedJobs
        from xray_tui.system.process import user

        if self._ended_jobs is not None or self._exit:
            return
        self._ended_jobs = EndedJobs(user(), time.time())
        self._services.start_later(self._board)

    def on_unmount(self) -> None:
        self._services.stop()

    def finish(self) -> None:
        """Wait briefly for running actions; call it after the app has restored the terminal."""
        self._services.finish()

    @property
    def failure(self) -> Exception | None:
        """The unexpected error that ended the app."""
        return self._exception

    def _handle_exception(self, error: Exception) -> None:
        """Exit because of this error, without printing Textual's traceback: `start` logs it."""
        self._return_code = 1
        if self._exception is None:
            self._exception = error
            self._exception_event.set()
        self._close_messages_no_wait()

    def _post(self, message: FeedMessage) -> None:
        """Post from any thread; messages are dropped while the app exits."""
        if self.is_running:
            self.post_message(message)

    # Messages of the services; ignored during the exit, when the screens are being removed

    def on_board_changed(self, message: BoardChanged) -> None:
        if self._exit:
            return
        if self._board is None:
            self.call_after_refresh(self._start_later_services)
            for line in self._column_problems(message.board):
                self.say(line, "warning")
        self._board = message.board
        self._dashboard.board.show(message.board)
        self._services.update_board(message.board)

    def on_board_polled(self, message: BoardPolled) -> None:
        if not self._exit:
            self._dashboard.board.show_polling(clean(message.reason))

    def on_feed_failed(self, message: FeedFailed) -> None:
        if self._exit:
            return
        if message.feed == "board" and self._board is None:
            self.call_after_refresh(self._start_later_services)  # start jobs and GPUs even if the board fails
        self._dashboard.show_failure(message.feed, clean(message.line))

    def _column_problems(self, board: Board) -> tuple[str, ...]:
        return resolve_metrics(self.settings.columns, board.rules)[1]

    def on_jobs_changed(self, message: JobsChanged) -> None:
        if self._exit:
            return
        self._jobs = message.jobs
        self._dashboard.show_jobs(message.jobs, message.others)
        self._report_ended(message.jobs)
        self._services.update_jobs(message.jobs)

    def on_gpu_sampled(self, message: GpuSampled) -> None:
        if self._exit:
            return
        self._gpus = message.gpus
        self._dashboard.gpus.show(message.gpus)
        if self._gpu_screen is not None:
            self._gpu_screen.show(message.gpus)
        self._pace_gpus()

    def _report_ended(self, jobs: Iterable[Job]) -> None:
        """Notify about jobs that have ended, in one line, and ring the bell."""
        from xray_tui.feeds.ended_jobs import line, went_wrong

        ended = self._ended_jobs.update(tuple(jobs)) if self._ended_jobs is not None else ()
        if ended:
            self.say(line(ended), "error" if went_wrong(ended) else "information")
            if self.settings.bell:
                self.bell()

    async def on_event(self, event: events.Event) -> None:
        if isinstance(event, events.Key):
            self._services.used()
        await super().on_event(event)

    def on_away_summary(self, message: AwaySummary) -> None:
        self._away_report = message.report
        self._show_away_report()

    def _show_away_report(self) -> None:
        """Show the away summary once, when the dashboard is the top screen."""
        if self._away_report is None or self._exit or self.screen is not self._dashboard:
            return
        from xray_tui.screens.text_screen import WIDTH, TextScreen
        from xray_tui.status.report import lines
        from xray_tui.system.process import user

        report, self._away_report = self._away_report, None
        self.push_screen(TextScreen("While you were away", lines(report, WIDTH, user())))

    def on_dashboard_screen_uncovered(self) -> None:
        self._pace_gpus()
        self._show_away_report()

    def _pace_gpus(self) -> None:
        """Sample the GPUs often only while the dashboard (also behind a question) or the GPU screen shows them."""
        self._services.show_gpus(not any(getattr(screen, "covers", False) for screen in self.screen_stack))

    def on_host_sampled(self, message: HostSampled) -> None:
        if not self._exit:
            self._dashboard.gpus.show_host(message.host)

    def on_followed_changed(self, message: FollowedChanged) -> None:
        if self._exit:
            return
        job = self._dashboard.jobs.job
        if job is not None and job.id == message.followed.job:
            self._dashboard.show_followed(message.followed)

    def on_notice(self, message: Notice) -> None:
        self.say(message.line, message.severity)

    def say(self, line: str, severity: SeverityLevel = "information") -> None:
        """Show a notification for 5 seconds, or 12 for a warning or an error."""
        self.notify(clean(line), severity=severity, timeout=5 if severity == "information" else 12, markup=False)

    def on_job_list_selected(self, message: JobList.Selected) -> None:
        """Follow the selected job. While the cursor moves quickly, wait until it rests: each follower starts a thread
        that opens files."""
        if self._follow_later is not None:
            self._follow_later.stop()
        self._services.follow_job(None)
        before, self._selected_at = self._selected_at, time.monotonic()
        if self._selected_at - before > REST_DELAY:
            self._services.follow_job(message.job)
        else:
            self._follow_later = self.set_timer(REST_DELAY, partial(self._services.follow_job, message.job))

    def on_gpu_strip_opened(self, message: GpuStrip.Opened) -> None:
        from xray_tui.screens.gpu import GpuScreen

        def closed(_: None) -> None:
            self._gpu_screen = None

        if self._gpus is not None:
            self._gpu_screen = GpuScreen(message.gpu, self._gpus)
            self.push_screen(self._gpu_screen, closed)

    def on_gpu_screen_stop_wanted(self, message: GpuScreen.StopWanted) -> None:
        """Stop the process's job if it is one of this runs folder; other processes are never signalled."""
        process = message.process
        owner = self._gpus.owners.get(process.pid) if self._gpus else None
        job = next((job for job in self._jobs if owner is not None and job.id == owner.job), None)
        if job is not None and not job.state.ended:
            self._ask_to_stop(job)
            return
        name = f"pid {process.pid}" + (f" of {clean(process.user)}" if process.user else "")
        if owner is None:
            self.say(f"{name} belongs to no job of this runs folder; only such jobs can be stopped here")
        else:
            self.say(f"{name} belongs to {clean(owner.run)}, but its job has ended or belongs to another runs folder")

    def on_leaderboard_opened(self, message: Leaderboard.Opened) -> None:
        from xray_tui.screens.run import RunScreen

        if self._board is not None:
            self.push_screen(RunScreen(message.row, self._board))

    # Key actions

    def action_launch(self, kind: Kind) -> None:
        """Open a launch form, filled from the run under the cursor and the marked runs."""
        if self.runs is None:
            return
        from xray_tui.forms.context import FormContext
        from xray_tui.forms.preflight_lines import looking
        from xray_tui.forms.screen import LaunchScreen
        from xray_tui.gpu.snapshot import GpuSnapshot
        from xray_tui.jobs.queue.visible_gpus import limit_of_shell

        seen = self._gpus.snapshot if self._gpus else GpuSnapshot()
        limit = limit_of_shell(lambda: seen)
        gpus = [(gpu.uuid, f"{gpu.index} {clean(gpu.name)}") for gpu in (limit or seen).gpus]
        marked = [row.run for row in self._dashboard.board.marked_rows]
        look = looking(self.runs, self.settings, lambda: self._gpus.snapshot if self._gpus else GpuSnapshot())
        context = FormContext(
            kind,
            self.runs,
            current=self._dashboard.run,
            marked=marked,
            gpus=gpus,
            gpu_limit=limit.words if limit else "",
            jobs=self._jobs,
        )
        self.push_screen(LaunchScreen(context, look), self._launch)

    def _launch(self, launch: Launch | None) -> None:
        if launch is not None and self.runs is not None:
            self._services.run_action(partial(job_actions.launch, launch, self.settings, self.runs))

    def action_stop_job(self) -> None:
        """Stop the selected job after a confirmation."""
        job = self._dashboard.jobs.job
        if job is None or job.state.ended:
            self.say("No job to stop: the selected job has ended" if job else "No job to stop")
            return
        self._ask_to_stop(job)

    def _ask_to_stop(self, job: Job) -> None:
        def answered(yes: bool | None) -> None:
            if yes:
                self._perform(job_actions.stop(), job)

        self.push_screen(job_actions.stop_question(job), answered)

    def action_resume_job(self) -> None:
        """Resume the selected training."""
        self._perform(job_actions.resume(self.settings), self._dashboard.jobs.job)

    def action_open_log(self) -> None:
        """Show the whole log of the selected job in a pager, which has the terminal until it ends."""
        from xray_tui.logs.pager import find_pager, page
        from xray_tui.system.error_log import in_words

        job, pager = self._dashboard.jobs.job, find_pager()
        if job is None or self.runs is None or not (path := self.runs / JOBS / job.id / LOG).is_file():
            self.say("There is no log to open")
        elif pager is None:
            self.say("No pager is installed: set PAGER, or install less", "warning")
        else:
            problem = ""
            with self.suspend():
                try:
                    page(pager, path)
                except OSError as error:  # leaving `suspend` by an error would leave the terminal to the shell
                    problem = in_words(error)
            if problem:
                self.say(f"The pager cannot be started: {problem}", "warning")

    def action_hold_job(self) -> None:
        """Hold the selected job, or release it if it is held or blocked."""
        job = self._dashboard.jobs.job
        self._perform(job_actions.hold_or_release(job), job)

    def action_move_job(self, steps: int) -> None:
        """Move the selected job in the queue by `steps`: -1 is up, 1 is down."""
        self._perform(job_actions.move(steps), self._dashboard.jobs.job)

    def _perform(self, action: job_actions.JobAction, job: Job | None) -> None:
        if job is None or self.runs is None:
            self.say("No job is selected")
        else:
            self._services.run_action(partial(job_actions.perform, action, job, self.runs))

    def action_export(self) -> None:
        """Export the board as Markdown."""
        if self._board is None:
            self.say("There is no board to export yet", "warning")
            return
        from xray_tui.app.export_action import export

        self._services.run_action(partial(export, self._board, self.settings.export, self._gpus, self._jobs))

    def action_suspend(self) -> None:
        """Suspend until the shell's `fg`; refused where no shell controls the app (`tmux new xray-tui`, a script) and
        so none could continue it."""
        if os.getpid() == os.getpgrp() != os.getsid(0):
            self.action_suspend_process()
        else:
            self.say("No interactive shell could continue the app after a suspend")

    def action_rescan(self) -> None:
        """Read the whole runs folder again, for file systems that report no changes."""
        self._services.rescan()

    def action_problems(self) -> None:
        from xray_tui.screens.problems import ProblemsScreen

        if self._board is not None:
            self.push_screen(ProblemsScreen(self._board, [*self.problems, *self._column_problems(self._board)]))

    def action_help(self) -> None:
        from xray_tui.screens.help import HelpScreen

        self.push_screen(HelpScreen(usable_keymap(self.settings.keymap), settings_path()))

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        """The entries of the command palette: the key commands and the theme choice."""
        keymap = usable_keymap(self.settings.keymap)
        for command in COMMANDS:
            if command.place in ("dashboard", "board") or command.id in ("app.help", "app.quit"):
                node = self._dashboard.board if command.place == "board" else self._dashboard
                title = f"{command.label.capitalize()}: {command.meaning}" if command.label else command.meaning
                keys = f"key {shown_keys(keymap.get(command.id, command.keys))}"
                yield SystemCommand(title, keys, partial(self._run_command, command.action, node))
        yield SystemCommand("Theme: choose other colours", "for this session; set `theme` in the settings to keep it",
                            self.action_change_theme)  # fmt: skip

    async def _run_command(self, action: str, node: DashboardScreen | Leaderboard) -> None:
        await self.run_action(action, node)
