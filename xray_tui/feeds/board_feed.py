"""The board as it is now: one scan, then whatever the watch says has changed, ranked and handed on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING

from xray_tui.board.index import RunIndex
from xray_tui.board.model import Board, Snapshot
from xray_tui.board.rank import rank
from xray_tui.system.retry import Report, Retry

if TYPE_CHECKING:
    from xray_tui.board.watch import Watch


class BoardFeed:
    """Reads the runs folder in a thread. It can start before anybody listens: `tell` hands on the newest board."""

    def __init__(self, runs: Path) -> None:
        self.runs = runs
        self._index = RunIndex(runs)
        self._board: Board | None = None
        self._failure = ""
        self._polls = ""
        self._on_board: Callable[[Board], None] | None = None
        self._on_failure: Report | None = None
        self._on_polling: Report | None = None
        self._reading = Lock()
        """Held while a board is made, which may take long, so that none overtakes a newer one."""
        self._telling = Lock()
        """Held for a moment only: `tell` is called by the thread that draws."""
        self._watch: Watch | None = None
        self._retry = Retry("reading the runs folder", self._failed)
        self._read = Event()
        """The folder has been read once."""
        self._may_watch = Event()
        self._stopping = Event()
        self._thread = Thread(target=self._run, name="board", daemon=True)

    def tell(self, on_board: Callable[[Board], None], on_failure: Report, on_polling: Report) -> None:
        """From now on call these from the feed's threads, and with what is known at once: `on_board` with every new
        board; `on_failure` with a line while the folder cannot be read or watched; `on_polling` with the reason why
        the folder is polled instead of watched. Both get an empty line when that is over."""
        with self._telling:
            self._on_board, self._on_failure, self._on_polling = on_board, on_failure, on_polling
            if self._board is not None:
                on_board(self._board)
            if self._failure:
                on_failure(self._failure)
            if self._polls:
                on_polling(self._polls)

    def start(self) -> None:
        """Read the folder once, in a thread."""
        self._thread.start()

    def wait(self, seconds: float) -> None:
        """Until the folder has been read once, or for this long. A reader that shares the interpreter with a thread
        that computes waits for it after every system call: a small board is there sooner if the other one pauses."""
        self._read.wait(seconds)

    def watch(self) -> None:
        """From now on follow what changes in the folder; what changed since the scan is read too."""
        self._may_watch.set()

    def stop(self) -> None:
        """Stop reading and watching; returns at once, and a scan that is under way ends unheard."""
        self._stopping.set()
        self._may_watch.set()
        if self._watch is not None:
            self._watch.stop(0.0)

    def rescan(self) -> None:
        """Read everything again, in the calling thread."""
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
        from xray_tui.board.watch import Watch  # not before the first board is there

        watch = Watch(self.runs, self._index.matters, self._changed, self._failed, self._polling)
        watch.start()
        self._watch = watch
        if self._stopping.is_set():
            watch.stop(0.0)

    def _changed(self, paths: frozenset[str]) -> None:
        self._take(lambda: self._index.apply(paths))

    def _take(self, read: Callable[[], Snapshot]) -> None:
        with self._reading:
            board = rank(read())
            if board == self._board:
                return
            with self._telling:
                self._board = board
                if self._on_board is not None and not self._stopping.is_set():
                    self._on_board(board)

    def _failed(self, line: str) -> None:
        with self._telling:
            self._failure = line
            if self._on_failure is not None and not self._stopping.is_set():
                self._on_failure(line)

    def _polling(self, reason: str) -> None:
        with self._telling:
            self._polls = reason
            if self._on_polling is not None and not self._stopping.is_set():
                self._on_polling(reason)
