"""Starts and stops the feeds of one runs folder, and runs the user's actions in background threads."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from textual.message import Message

from engine.contract.names import JOBS, LOG
from xray_tui.app import messages
from xray_tui.feeds.board_feed import BoardFeed
from xray_tui.settings import Settings
from xray_tui.system.error_log import in_words, log_error

if TYPE_CHECKING:
    from xray_tui.board.model import Board
    from xray_tui.feeds.ended_jobs import EndedJobs
    from xray_tui.feeds.gpu_feed import GpuFeed
    from xray_tui.feeds.host_feed import HostFeed
    from xray_tui.feeds.job_files import Follow
    from xray_tui.feeds.jobs_feed import JobsFeed
    from xray_tui.jobs.model.job import Job
    from xray_tui.status.last_visit import WelcomeBack

EXIT_WAIT = 1.0
"""Longest time in seconds that `finish` waits for running launches, stops and exports."""


class Services:
    """The feeds and background actions of one runs folder. Call all methods except `finish` on the UI thread; they
    never wait for a file or a driver."""

    def __init__(self, post: Callable[[Message], None], settings: Settings, board: BoardFeed | None = None) -> None:
        """`post` posts a message from any thread; `board` is a feed that already reads the runs folder."""
        self._post = post
        self._settings = settings
        self.board = board
        self.jobs: JobsFeed | None = None
        self.gpus: GpuFeed | None = None
        self._host: HostFeed | None = None
        self._ended_jobs: EndedJobs | None = None
        self.welcome_back: WelcomeBack | None = None
        self.follow: Follow | None = None
        """Follows the log and the curve of the selected job, or of runs that were chosen on the board."""
        self._runs: Path | None = None
        self._threads: list[threading.Thread] = []
        """Threads of launches, stops, exports and other actions."""

    def start(self, runs: Path) -> None:
        """Start the board feed; `start_later` starts the others."""
        self._runs = runs
        if self.board is None:
            self.board = BoardFeed(runs)
            self.board.start()
        self.board.connect(
            self._posting(messages.BoardChanged),
            self._posting(messages.FeedFailed, "board"),
            self._posting(messages.BoardPolled),
        )

    def start_later(self, board: Board | None) -> None:
        """Start the other feeds unless they have been started. Call it after the first board, the first failure to
        read one, or a short wait, because the feeds' imports would delay the first rows."""
        from xray_tui.feeds.ended_jobs import EndedJobs
        from xray_tui.feeds.gpu_feed import GpuFeed
        from xray_tui.feeds.host_feed import HostFeed
        from xray_tui.feeds.jobs_feed import JobsFeed
        from xray_tui.status.last_visit import WelcomeBack
        from xray_tui.system.process import user

        if self._ended_jobs is not None or self._runs is None or self.board is None:
            return
        lease_dir, posting, failed = self._settings.lease_dir, self._posting, messages.FeedFailed
        self._ended_jobs = EndedJobs(user(), time.time())
        self.board.watch()
        self.welcome_back = WelcomeBack(self._runs, posting(messages.AwaySummary))
        self.welcome_back.update(board=board)
        self.jobs = JobsFeed(self._runs, posting(messages.JobsChanged), posting(failed, "jobs"), lease_dir)
        self.gpus = GpuFeed(posting(messages.GpuSampled), posting(failed, "gpus"), lease_dir, self._settings.slots)
        self._host = HostFeed(self._runs, posting(messages.HostSampled), posting(failed, "host"))
        self.gpus.start()
        self.jobs.start()
        self._host.start()

    def stop(self) -> None:
        """Ask all feed threads to end, without waiting for them. No feed starts afterwards."""
        self._runs = None
        for service in (self.board, self.jobs, self.gpus, self._host, self.follow):
            if service is not None:
                service.stop()

    def finish(self) -> None:
        """Wait up to EXIT_WAIT for running actions. Call it after the terminal is restored, not on the UI thread."""
        deadline = time.monotonic() + EXIT_WAIT
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def update_board(self, board: Board) -> None:
        """Pass the board to the summary of what happened while the user was away."""
        if self.welcome_back is not None:
            self.welcome_back.update(board=board)

    def update_jobs(self, jobs: tuple[Job, ...]) -> None:
        """Pass the jobs to the away summary and to the GPU feed, which names the job of each process. Post a notice
        about jobs that have ended."""
        from xray_tui.feeds.ended_jobs import line, went_wrong

        if self.welcome_back is not None:
            self.welcome_back.update(jobs=jobs)
        if self.gpus is not None:
            self.gpus.update_jobs(jobs)
        if self._ended_jobs is not None and (ended := self._ended_jobs.update(jobs)):
            failed, bell = went_wrong(ended), self._settings.bell
            self._post(messages.Notice(line(ended), "error" if failed else "information", bell))

    def show_gpus(self, visible: bool) -> None:
        """Sample the GPUs less often while they are not visible."""
        if self.gpus is not None:
            self.gpus.show(visible)

    def used(self) -> None:
        """Record that the user pressed a key and so is present."""
        if self.welcome_back is not None:
            self.welcome_back.used()

    def follow_files(self, name: str, job: Job | None, runs: Sequence[str]) -> None:
        """Follow the job's log and the events of the runs, and stop following the previous ones. Without both, follow
        nothing."""
        from xray_tui.feeds.job_files import Follow

        if self.follow is not None:
            self.follow.stop()
            self.follow = None
        if (job is not None or runs) and self._runs is not None:
            log = self._runs / JOBS / job.id / LOG if job else None
            changed, failed = self._posting(messages.FollowedChanged), self._posting(messages.FeedFailed, "log")
            self.follow = Follow(name, log, [self._runs / run for run in runs], changed, failed)
            self.follow.start()

    def rescan(self) -> None:
        """Read the whole runs folder again, in a background thread."""
        if self.board is not None:
            self._in_background(self.board.rescan)

    def run_action(self, action: Callable[[], messages.Notice]) -> None:
        """Run the action in a background thread, post its notice and read the jobs again."""

        def act() -> None:
            self._post(action())
            if self.jobs is not None:
                self.jobs.wake()

        self._threads = [thread for thread in self._threads if thread.is_alive()]
        self._threads.append(self._in_background(act))

    def _in_background(self, work: Callable[[], object]) -> threading.Thread:
        """Run work that may wait for files, locks or a driver in a daemon thread, which cannot delay the exit."""

        def guarded() -> None:
            try:
                work()
            except Exception as error:
                log_error("work in the background", error)
                self._post(messages.Notice(in_words(error), "warning"))

        thread = threading.Thread(target=guarded, daemon=True)
        thread.start()
        return thread

    def _posting(self, kind: Callable[..., Message], *first: object) -> Callable[..., None]:
        """A function that posts a message of this kind, built from `first` and the function's own arguments."""
        return lambda *values: self._post(kind(*first, *values))
