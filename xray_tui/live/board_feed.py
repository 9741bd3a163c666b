"""The board as it is now: one scan, then whatever the watch says has changed, ranked and handed on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from threading import Lock, Thread
from typing import TYPE_CHECKING

from xray_tui.board.index import RunIndex
from xray_tui.board.rank import Board, rank

if TYPE_CHECKING:
    from xray_tui.board.index import Snapshot
    from xray_tui.board.watch import Watch


class BoardFeed:
    """Reads the runs folder in a thread. It can start before anybody listens: `tell` hands on the newest board."""

    def __init__(self, runs: Path) -> None:
        self.runs = runs
        self._index = RunIndex(runs)
        self._board: Board | None = None
        self._on_board: Callable[[Board], None] | None = None
        self._reading = Lock()
        """Held while a board is made, which may take long, so that none overtakes a newer one."""
        self._telling = Lock()
        """Held for a moment only: `tell` is called by the thread that draws."""
        self._watch: Watch | None = None
        self._stopping = False
        self._scan = Thread(target=self.rescan, name="board-scan", daemon=True)

    def tell(self, on_board: Callable[[Board], None]) -> None:
        """From now on call `on_board` with every new board, from the feed's threads; with the newest one at once."""
        with self._telling:
            self._on_board = on_board
            if self._board is not None:
                on_board(self._board)

    def start(self) -> None:
        """Read the folder once, in a thread."""
        self._scan.start()

    def wait(self, seconds: float) -> None:
        """Until the folder has been read once, or for this long. A reader that shares the interpreter with a thread
        that computes waits for it after every system call: a small board is there sooner if the other one pauses."""
        self._scan.join(seconds)

    def watch(self) -> None:
        """From now on follow what changes in the folder; what changed since the scan is read too. Call it once."""
        Thread(target=self._start_watch, name="board-watch", daemon=True).start()

    def stop(self) -> None:
        """Stop watching; a scan that is under way ends unheard."""
        self._stopping = True
        if self._watch is not None:
            self._watch.stop()

    def rescan(self) -> None:
        """Read everything again, in the calling thread."""
        self._take(self._index.scan)

    def _start_watch(self) -> None:
        from xray_tui.board.watch import Watch  # not before the first board is there

        watch = Watch(self.runs, self._changed)
        watch.start()
        self._watch = watch
        if self._stopping:
            watch.stop()
        self.rescan()

    def _changed(self, paths: frozenset[Path]) -> None:
        self._take(lambda: self._index.apply(paths))

    def _take(self, read: Callable[[], Snapshot]) -> None:
        with self._reading:
            board = rank(read())
            if board == self._board:
                return
            with self._telling:
                self._board = board
                if self._on_board is not None and not self._stopping:
                    self._on_board(board)
