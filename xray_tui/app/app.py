"""The app: it starts the services, hands what they say to the dashboard, and does what the keys ask for."""

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
    BoardChanged,
    BoardPolled,
    CameBack,
    FeedFailed,
    FollowedChanged,
    GpuSampled,
    HostSampled,
    JobsChanged,
    Said,
)
from xray_tui.app.services import Services, Told
from xray_tui.app.themes import XRAY, variable_defaults
from xray_tui.feeds.board_feed import BoardFeed
from xray_tui.keymap import COMMANDS, bindings, keymap_problems, shown_keys, usable_keymap
from xray_tui.screens.dashboard import DashboardScreen
from xray_tui.settings import Settings, settings_path
from xray_tui.widgets.columns import metrics_asked_for
from xray_tui.widgets.gpu_strip import GpuStrip
from xray_tui.widgets.job_list import JobList
from xray_tui.widgets.leaderboard import Leaderboard

if TYPE_CHECKING:
    from textual.notifications import SeverityLevel
    from textual.timer import Timer

    from xray_tui.board.model import Board
    from xray_tui.feeds.ended_jobs import Endings
    from xray_tui.feeds.gpu_feed import Gpus
    from xray_tui.forms.options import Launch
    from xray_tui.forms.request import Kind
    from xray_tui.jobs.model.job import Job
    from xray_tui.screens.gpu import GpuScreen
    from xray_tui.status.report import Report

RESTS = 0.12
"""Seconds after which the cursor of the job list is taken to rest on its job; a key that is held repeats faster."""


class XrayApp(KeysInOrder[None]):
    """One runs folder in one terminal. All that it knows is in files: killed and started again, it shows the same."""

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
        """`problems` are lines to be said at the start; `feed`, if one reads `runs` already, is taken over."""
        super().__init__(ansi_color=True if os.environ.get("NO_COLOR") else None)
        self.runs = runs.absolute() if runs else None
        self.settings = settings or Settings()
        self.problems = [*problems, *keymap_problems(self.settings.keymap)]
        self._services = Services(self._post, self.settings, feed)
        self._board: Board | None = None
        self._gpus: Gpus | None = None
        self._gpu_screen: GpuScreen | None = None
        """While it is open."""
        self._jobs: tuple[Job, ...] = ()
        self._selected_at = -RESTS
        """When another job was selected, by the monotonic clock."""
        self._follow_later: Timer | None = None
        self._endings: Endings | None = None
        self._news: Report | None = None
        """What is still to be told, once the dashboard is what one sees."""
        self._dashboard = DashboardScreen(self.settings.columns, self.settings.gpu_detail)
        self.register_theme(XRAY)
        self._choose_theme()

    def _choose_theme(self) -> None:
        name = self.settings.theme
        if name not in self.available_themes:
            known = ", ".join(sorted(self.available_themes))
            self.problems.append(f"settings: theme: {clean(name)}: there is no such theme; known are {known}")
            name = XRAY.name
        self.theme = name

    def get_theme_variable_defaults(self) -> dict[str, str]:
        return variable_defaults(self.current_theme)

    @property
    def _background_screens(self) -> list[Screen[object]]:
        """The screens that are seen behind the current one. Textual counts the one below an opaque screen too, and
        repaints all of the opaque one with each change below it."""
        return [] if self.screen.styles.background.a == 1 else super()._background_screens

    def get_default_screen(self) -> Screen[None]:
        return self._dashboard

    def on_mount(self) -> None:
        self.call_after_refresh(self._wait_for_no_worker)
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

    def _wait_for_no_worker(self) -> None:
        """Let the threads of Textual's workers end with the process; imported after the first frame."""
        from xray_tui.app.daemon_threads import DaemonThreads

        asyncio.get_running_loop().set_default_executor(DaemonThreads())

    def _end_by_signal(self, number: int) -> None:
        """Leave as `q` does, so that the terminal is as it was."""
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
        from xray_tui.feeds.ended_jobs import Endings
        from xray_tui.system.process import user

        if self._endings is not None or self._exit:
            return
        self._endings = Endings(user(), time.time())
        self._services.start_later(self._board)

    def on_unmount(self) -> None:
        self._services.stop()

    def finish(self) -> None:
        """Wait a moment for orders under way; to be called when the app has left the terminal."""
        self._services.finish()

    @property
    def failure(self) -> Exception | None:
        """The unexpected error that ended the app."""
        return self._exception

    def _handle_exception(self, error: Exception) -> None:
        """End the app by this error without Textual's pages of traceback: `start` logs it."""
        self._return_code = 1
        if self._exception is None:
            self._exception = error
            self._exception_event.set()
        self._close_messages_no_wait()

    def _post(self, message: Told) -> None:
        """Post from any thread; what comes while the app ends is dropped."""
        if self.is_running:
            self.post_message(message)

    # What the services say; once the app leaves, its screens are being taken down and nothing is shown any more

    def on_board_changed(self, message: BoardChanged) -> None:
        if self._exit:
            return
        if self._board is None:
            self.call_after_refresh(self._start_later_services)
            for line in self._column_problems(message.board):
                self.say(line, "warning")
        self._board = message.board
        self._dashboard.show_board(message.board)
        self._services.know_board(message.board)

    def on_board_polled(self, message: BoardPolled) -> None:
        if not self._exit:
            self._dashboard.board.show_polling(clean(message.reason))

    def on_feed_failed(self, message: FeedFailed) -> None:
        if self._exit:
            return
        if message.feed == "board" and self._board is None:
            self.call_after_refresh(self._start_later_services)  # jobs and GPUs do not wait for the board
        self._dashboard.show_failure(message.feed, clean(message.line))

    def _column_problems(self, board: Board) -> tuple[str, ...]:
        return metrics_asked_for(self.settings.columns, board.rules)[1]

    def on_jobs_changed(self, message: JobsChanged) -> None:
        if self._exit:
            return
        self._jobs = message.jobs
        self._dashboard.show_jobs(message.jobs, message.others)
        self._tell_ended(message.jobs)
        self._services.know_jobs(message.jobs)

    def on_gpu_sampled(self, message: GpuSampled) -> None:
        if self._exit:
            return
        self._gpus = message.gpus
        self._dashboard.show_gpus(message.gpus)
        if self._gpu_screen is not None:
            self._gpu_screen.show(message.gpus)
        self._pace_gpus()

    def _tell_ended(self, jobs: Iterable[Job]) -> None:
        """Ring and say it when jobs end; several at once are one line."""
        from xray_tui.feeds.ended_jobs import line, went_wrong

        ended = self._endings.of(tuple(jobs)) if self._endings is not None else ()
        if ended:
            self.say(line(ended), "error" if went_wrong(ended) else "information")
            if self.settings.bell:
                self.bell()

    async def on_event(self, event: events.Event) -> None:
        if isinstance(event, events.Key):
            self._services.used()
        await super().on_event(event)

    def on_came_back(self, message: CameBack) -> None:
        self._news = message.report
        self._tell_news()

    def _tell_news(self) -> None:
        """Show what happened meanwhile, once, and over nothing that has been opened by now."""
        if self._news is None or self._exit or self.screen is not self._dashboard:
            return
        from xray_tui.screens.while_away import NewsScreen

        told, self._news = self._news, None
        self.push_screen(NewsScreen(told))

    def on_dashboard_screen_uncovered(self) -> None:
        self._pace_gpus()
        self._tell_news()

    def _pace_gpus(self) -> None:
        """Look at the GPUs often only while they can be seen: on the dashboard, behind a question, on their screen."""
        self._services.show_gpus(not any(getattr(screen, "covers", False) for screen in self.screen_stack))

    def on_host_sampled(self, message: HostSampled) -> None:
        if not self._exit:
            self._dashboard.show_host(message.host)

    def on_followed_changed(self, message: FollowedChanged) -> None:
        if self._exit:
            return
        job = self._dashboard.jobs.job
        if job is not None and job.id == message.followed.job:
            self._dashboard.show_followed(message.followed)

    def on_said(self, message: Said) -> None:
        self.say(message.line, message.severity)

    def say(self, line: str, severity: SeverityLevel = "information") -> None:
        """One line in the corner, for some seconds; longer where something is wrong."""
        self.notify(clean(line), severity=severity, timeout=5 if severity == "information" else 12, markup=False)

    def on_job_list_selected(self, message: JobList.Selected) -> None:
        """Follow the job at once; while the cursor goes from job to job, only the one that it rests on: each follower
        is a thread that opens files."""
        if self._follow_later is not None:
            self._follow_later.stop()
        self._services.follow_job(None)
        before, self._selected_at = self._selected_at, time.monotonic()
        if self._selected_at - before > RESTS:
            self._services.follow_job(message.job)
        else:
            self._follow_later = self.set_timer(RESTS, partial(self._services.follow_job, message.job))

    def on_gpu_strip_opened(self, message: GpuStrip.Opened) -> None:
        from xray_tui.screens.gpu import GpuScreen

        def closed(_: None) -> None:
            self._gpu_screen = None

        if self._gpus is not None:
            self._gpu_screen = GpuScreen(message.gpu, self._gpus)
            self.push_screen(self._gpu_screen, closed)

    def on_gpu_screen_stop_wanted(self, message: GpuScreen.StopWanted) -> None:
        """Only jobs of this runs folder are stopped, each as a whole; no other process is touched."""
        process = message.process
        owner = self._gpus.owners.get(process.pid) if self._gpus else None
        job = next((job for job in self._jobs if owner is not None and job.id == owner.job), None)
        if job is not None and not job.state.ended:
            self._ask_to_stop(job)
            return
        name = f"pid {process.pid}" + (f" of {clean(process.user)}" if process.user else "")
        if owner is None:
            self.say(f"{name} works for no job of this runs folder: only those are stopped here")
        else:
            self.say(f"{name} works for {clean(owner.run)}, but its job has ended or is of another runs folder")

    def on_leaderboard_opened(self, message: Leaderboard.Opened) -> None:
        from xray_tui.screens.run import RunScreen

        if self._board is not None:
            self.push_screen(RunScreen(message.row, self._board))

    # What the keys ask for

    def action_launch(self, kind: Kind) -> None:
        """Open the form, filled from the run under the cursor and the marked ones."""
        if self.runs is None:
            return
        from xray_tui.forms.preflight_lines import looking
        from xray_tui.forms.screen import LaunchScreen
        from xray_tui.gpu.snapshot import GpuSnapshot
        from xray_tui.jobs.queue.visible_gpus import limit_of_shell

        seen = self._gpus.snapshot if self._gpus else GpuSnapshot()
        limit = limit_of_shell(lambda: seen)
        gpus = [(gpu.uuid, f"{gpu.index} {clean(gpu.name)}") for gpu in (limit or seen).gpus]
        marked = [row.run for row in self._dashboard.board.marked_rows]
        look = looking(self.runs, self.settings, lambda: self._gpus.snapshot if self._gpus else GpuSnapshot())
        form = LaunchScreen(
            kind,
            runs=self.runs,
            current=self._dashboard.run,
            marked=marked,
            gpus=gpus,
            gpu_limit=limit.words if limit else "",
            look=look,
            jobs=self._jobs,
        )
        self.push_screen(form, self._launch)

    def _launch(self, launch: Launch | None) -> None:
        if launch is not None and self.runs is not None:
            self._services.order(partial(job_actions.launch, launch, self.settings, self.runs))

    def action_stop_job(self) -> None:
        """Ask, then stop the job under the cursor of the list."""
        job = self._dashboard.jobs.job
        if job is None or job.state.ended:
            self.say("There is no job to stop: the selected one has ended" if job else "There is no job to stop")
            return
        self._ask_to_stop(job)

    def _ask_to_stop(self, job: Job) -> None:
        def answered(yes: bool | None) -> None:
            if yes:
                self._give(job_actions.stop(), job)

        self.push_screen(job_actions.stop_question(job), answered)

    def action_resume_job(self) -> None:
        """Go on with the selected training."""
        self._give(job_actions.resume(self.settings), self._dashboard.jobs.job)

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
        """Hold the selected job, or let it go on if it is held or blocked."""
        job = self._dashboard.jobs.job
        self._give(job_actions.hold_or_release(job), job)

    def action_move_job(self, steps: int) -> None:
        """Move the selected job in the queue."""
        self._give(job_actions.move(steps), self._dashboard.jobs.job)

    def _give(self, order: job_actions.Order, job: Job | None) -> None:
        if job is None or self.runs is None:
            self.say("There is no job")
        else:
            self._services.order(partial(job_actions.give, order, job, self.runs))

    def action_export(self) -> None:
        """Write the board as Markdown."""
        if self._board is None:
            self.say("There is no board to export yet", "warning")
            return
        from xray_tui.app.export_action import export

        self._services.order(partial(export, self._board, self.settings.export, self._gpus, self._jobs))

    def action_suspend(self) -> None:
        """Stop until the shell's `fg`. Where no shell waits for just us (`tmux new xray-tui`, a script), nobody could
        ever continue us."""
        if os.getpid() == os.getpgrp() != os.getsid(0):
            self.action_suspend_process()
        else:
            self.say("No shell is waiting here that could bring the app back")

    def action_rescan(self) -> None:
        """Read everything again, for file systems that tell nothing."""
        self._services.rescan()

    def action_problems(self) -> None:
        from xray_tui.screens.problems import ProblemsScreen

        if self._board is not None:
            self.push_screen(ProblemsScreen(self._board, [*self.problems, *self._column_problems(self._board)]))

    def action_help(self) -> None:
        from xray_tui.screens.help import HelpScreen

        self.push_screen(HelpScreen(usable_keymap(self.settings.keymap), settings_path()))

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        """The palette: the table of commands, and the themes."""
        keymap = usable_keymap(self.settings.keymap)
        for command in COMMANDS:
            if command.place in ("dashboard", "board") or command.id in ("app.help", "app.quit"):
                node = self._dashboard.board if command.place == "board" else self._dashboard
                title = f"{command.label.capitalize()}: {command.meaning[0].lower()}{command.meaning[1:]}"
                keys = f"key {shown_keys(keymap.get(command.id, command.keys))}"
                yield SystemCommand(title, keys, partial(self._run_command, command.action, node))
        yield SystemCommand("Theme: choose other colours", "for now; `theme` in the settings keeps it",
                            self.action_change_theme)  # fmt: skip

    async def _run_command(self, action: str, node: DashboardScreen | Leaderboard) -> None:
        await self.run_action(action, node)
