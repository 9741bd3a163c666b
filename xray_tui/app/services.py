"""What tells the app of its runs folder, jobs, GPUs and host, each from a thread of its own.

All of it is in files: killed and started again, it tells the same.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from engine.contract.names import JOBS
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
from xray_tui.feeds import Feed
from xray_tui.feeds.board_feed import BoardFeed
from xray_tui.settings import Settings
from xray_tui.system.error_log import in_words, log_error

if TYPE_CHECKING:
    from xray_tui.board.model import Board
    from xray_tui.feeds.gpu_feed import GpuFeed
    from xray_tui.feeds.host_feed import HostFeed
    from xray_tui.feeds.job_files import Follow
    from xray_tui.feeds.jobs_feed import JobsFeed
    from xray_tui.jobs.model.job import Job
    from xray_tui.status.welcome_back import WelcomeBack
    from xray_tui.system.retry import Report

LAST_MOMENT = 1.0
"""Seconds that `finish` waits for a launch, a stop or an export under way."""

Told = (
    BoardChanged | BoardPolled | CameBack | FeedFailed | JobsChanged | GpuSampled | HostSampled | FollowedChanged | Said
)
Tell = Callable[[Told], None]
"""Hands a message to the app, from any thread."""


class Services:
    """The feeds of one runs folder. All methods but `finish` are for the UI thread; none of them waits for
    a file or a driver."""

    def __init__(self, tell: Tell, settings: Settings, board: BoardFeed | None = None) -> None:
        """`board`, if one reads the runs folder already, is taken over."""
        self._tell = tell
        self._settings = settings
        self.board = board
        self.jobs: JobsFeed | None = None
        self.gpus: GpuFeed | None = None
        self._host: HostFeed | None = None
        self.welcome_back: WelcomeBack | None = None
        self.follow: Follow | None = None
        """Of the files of the selected job."""
        self._runs: Path | None = None
        self._orders: list[threading.Thread] = []
        """Launches, stops, exports and the like under way."""

    def start(self, runs: Path) -> None:
        """Begin with the board."""
        self._runs = runs
        if self.board is None:
            self.board = BoardFeed(runs)
            self.board.start()
        self.board.tell(
            lambda board: self._tell(BoardChanged(board)),
            self._failing("board"),
            lambda reason: self._tell(BoardPolled(reason)),
        )

    def start_later(self, board: Board | None) -> None:
        """Start the other feeds, which take longer to import than the first rows to read: after the first board, or
        after the first failure to read one."""
        from xray_tui.feeds.gpu_feed import GpuFeed
        from xray_tui.feeds.host_feed import HostFeed
        from xray_tui.feeds.jobs_feed import JobsFeed
        from xray_tui.status.welcome_back import WelcomeBack

        assert self._runs is not None
        assert self.board is not None
        lease_dir = self._settings.lease_dir
        self.board.watch()
        self.welcome_back = WelcomeBack(self._runs, lambda told: self._tell(CameBack(told)))
        self.welcome_back.update(board=board)
        self.jobs = JobsFeed(
            self._runs, lambda jobs, others: self._tell(JobsChanged(jobs, others)), self._failing("jobs"), lease_dir
        )
        self.gpus = GpuFeed(
            lambda gpus: self._tell(GpuSampled(gpus)), self._failing("gpus"), lease_dir, self._settings.slots
        )
        self._host = HostFeed(self._runs, lambda host: self._tell(HostSampled(host)), self._failing("host"))
        self.gpus.start()
        self.jobs.start()
        self._host.start()

    def stop(self) -> None:
        """Ask all threads to end; waits for none."""
        for service in (self.board, self.jobs, self.gpus, self._host, self.follow):
            if service is not None:
                service.stop()

    def finish(self) -> None:
        """Wait a moment for orders under way. Not for the UI thread: call it when the terminal is restored."""
        deadline = time.monotonic() + LAST_MOMENT
        for thread in self._orders:
            thread.join(max(0.0, deadline - time.monotonic()))

    def know_board(self, board: Board) -> None:
        """Compare the first board with that of the last visit."""
        if self.welcome_back is not None:
            self.welcome_back.update(board=board)

    def know_jobs(self, jobs: tuple[Job, ...]) -> None:
        """Let those who name jobs know of these."""
        if self.welcome_back is not None:
            self.welcome_back.update(jobs=jobs)
        if self.gpus is not None:
            self.gpus.know_jobs(jobs)

    def show_gpus(self, seen: bool) -> None:
        """Whether anybody sees the GPUs: if not, they are looked at seldom."""
        if self.gpus is not None:
            self.gpus.show(seen)

    def used(self) -> None:
        """Somebody has pressed a key: there is somebody here."""
        if self.welcome_back is not None:
            self.welcome_back.used()

    def follow_job(self, job: Job | None) -> None:
        """Follow the files of this job, and of no other."""
        from xray_tui.feeds.job_files import Follow

        if self.follow is not None:
            self.follow.stop()
            self.follow = None
        if job is not None and self._runs is not None:
            folder = self._runs / JOBS / job.id
            run = self._runs / job.spec.run if job.readable else None
            self.follow = Follow(
                job.id, folder, run, lambda followed: self._tell(FollowedChanged(followed)), self._failing("log")
            )
            self.follow.start()

    def rescan(self) -> None:
        """Read everything again."""
        if self.board is not None:
            self._in_background(self.board.rescan)

    def order(self, work: Callable[[], Said]) -> None:
        """Have something done to jobs, say how that went, and look at them."""

        def done() -> None:
            self._tell(work())
            if self.jobs is not None:
                self.jobs.wake()

        self._orders = [thread for thread in self._orders if thread.is_alive()]
        self._orders.append(self._in_background(done))

    def _in_background(self, work: Callable[[], object]) -> threading.Thread:
        """Do what files, locks or a driver may hold up, in a thread that the app's end does not wait for."""

        def guarded() -> None:
            try:
                work()
            except Exception as error:
                log_error("work in the background", error)
                self._tell(Said(in_words(error), "warning"))

        thread = threading.Thread(target=guarded, daemon=True)
        thread.start()
        return thread

    def _failing(self, feed: Feed) -> Report:
        return lambda line: self._tell(FeedFailed(feed, line))
