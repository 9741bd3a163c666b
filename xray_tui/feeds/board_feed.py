"""The board feed scans the runs folder once, then delivers a new ranked board after each change."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING, Any

from xray_tui.board.index import RunIndex
from xray_tui.board.model import Board, Snapshot
from xray_tui.board.rank import Ranker
from xray_tui.system.retry import Report, Retry

if TYPE_CHECKING:
    from xray_tui.board.watch import Watch


class BoardFeed:
    """Reads the runs folder in a thread. It can start before `connect`, which delivers the newest board at once."""

    def __init__(self, runs: Path) -> None:
        self.runs = runs
        self._index = RunIndex(runs)
        self._ranker = Ranker()
        self._latest: dict[str, Board | str] = {}
        """The newest value of each kind: the `board`, the current `failure`, and the reason for `polling`."""
        self._receivers: dict[str, Callable[[Any], None]] = {}
        self._reading = Lock()
        """Held while a board is made, which may take long, so that boards are delivered in order."""
        self._delivering = Lock()
        """Held only briefly, because `connect` is called on the UI thread."""
        self._watch: Watch | None = None
        self._retry = Retry("reading the runs folder", self._failed)
        self._read = Event()
        """Set when the first scan has ended."""
        self._may_watch = Event()
        self._stopping = Event()
        self._thread = Thread(target=self._run, name="board", daemon=True)

    def connect(self, on_board: Callable[[Board], None], on_failure: Report, on_polling: Report) -> None:
        """Deliver the current state at once, and every change from the feed's threads. `on_board` gets each new board,
        `on_failure` a line when the folder cannot be read or watched, and `on_polling` the reason why the folder is
        polled instead of watched. The last two get an empty line when that ends."""
        with self._delivering:
            self._receivers = {"board": on_board, "failure": on_failure, "polling": on_polling}
            for kind, value in self._latest.items():
                if value:
                    self._receivers[kind](value)

    def start(self) -> None:
        """Start the thread, which scans the folder."""
        self._thread.start()

    def wait(self, seconds: float) -> None:
        """Wait for the first scan, at most `seconds`. A scan runs faster while the calling thread waits, because a
        busy thread delays it after every system call (GIL)."""
        self._read.wait(seconds)

    def watch(self) -> None:
        """Start to watch the folder, and read what has changed since the scan."""
        self._may_watch.set()

    def stop(self) -> None:
        """Stop reading and watching. Returns at once; the result of a running scan is dropped."""
        self._stopping.set()
        self._may_watch.set()
        if self._watch is not None:
            self._watch.stop(0.0)

    def rescan(self) -> None:
        """Scan the whole folder again, in the calling thread."""
        self._take(self._index.scan)

    def _run(self) -> None:
        self._until_done(self.rescan)
        self._read.set()
        self._may_watch.wait()
        self._until_done(self._start_watch)
        self._until_done(self.rescan)

    def _until_done(self, step: Callable[[], None]) -> None:
        while not self._stopping.is_set() and (pause := self._retry.attempt(step)):
            self._stopping.wait(pause)

    def _start_watch(self) -> None:
        from xray_tui.board.watch import Watch  # late, so that the first board appears sooner

        watch = Watch(
            self.runs,
            self._index.matters,
            lambda paths: self._take(lambda: self._index.apply(paths)),
            self._failed,
            lambda reason: self._deliver("polling", reason),
        )
        watch.start()
        self._watch = watch
        if self._stopping.is_set():
            watch.stop(0.0)

    def _take(self, read: Callable[[], Snapshot]) -> None:
        with self._reading:
            board = self._ranker.rank(read())
            if board != self._latest.get("board"):
                self._deliver("board", board)

    def _failed(self, line: str) -> None:
        self._deliver("failure", line)

    def _deliver(self, kind: str, value: Board | str) -> None:
        with self._delivering:
            self._latest[kind] = value
            if self._receivers and not self._stopping.is_set():
                self._receivers[kind](value)
