"""The pane beside a wide board: metrics, config and curve of the run under the cursor."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any

from textual import work
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Static

from engine.contract.metrics import metric
from engine.contract.names import CONFIG, EVENTS
from engine.contract.text import clean
from xray_tui.widgets.format import cut_end, fit, number

if TYPE_CHECKING:
    from xray_tui.board.model import Board, Row
    from xray_tui.logs.curve_reader import Curve
    from xray_tui.widgets.chart import CurveView

REST_DELAY = 0.3
"""Seconds that the cursor must stay on a run before its files are read."""

LABEL, WIDTH = 19, 46
"""Widths in cells of a label and of a line."""

MOST_KEYS, MOST_DIFFERENCES, MOST_LEADERS = 1000, 12, 50
"""Numbers of keys compared, of differences shown, and of rows searched for the best run with a config."""


class RunPane(Vertical):
    """Shows the figures at once, and the content of files when the cursor has rested and a thread has read them."""

    _row: Row | None = None
    _board: Board | None = None
    _curve: CurveView | None = None

    def show(self, row: Row | None, board: Board | None) -> None:
        if row is not self._row or board is not self._board:
            self._row, self._board = row, board
            self.on_show()

    def on_show(self) -> None:
        """Draw the figures, and read the files later; a hidden pane does neither."""
        if self.display and self._row is not None and self._board is not None:
            self.border_title = Content.styled(cut_end(self._row.name, WIDTH), "bold")
            self._draw(self._row, self._board, [])
            self._read_later(self._row, self._board)

    def _draw(self, row: Row, board: Board, differences: list[str]) -> None:
        self.query_one(Static).update(Content("\n".join([*figure_lines(row, board), "", *differences])))

    @work(exclusive=True, exit_on_error=False, group="run")
    async def _read_later(self, row: Row, board: Board) -> None:
        await asyncio.sleep(REST_DELAY)
        curve, differences = await asyncio.to_thread(read_files, row, board)
        if not self.is_attached:
            return
        self._draw(row, board, differences)
        if self._curve is None and not curve.empty:
            from xray_tui.widgets.chart import CurveView

            self._curve = CurveView(classes="panel")
            self._curve.can_focus = False
            await self.mount(self._curve)
        if self._curve is not None:
            self._curve.display = not curve.empty
            self._curve.show(curve)


def read_files(row: Row, board: Board) -> tuple[Curve, list[str]]:
    """The run's curve, and what differs from the config of the best run that has one (a blend has none)."""
    from xray_tui.board.note import read_yaml
    from xray_tui.feeds.job_files import EventTail

    events = EventTail(board.runs / row.run / EVENTS)
    events.read()
    first = islice(board.rows, MOST_LEADERS)
    leader = next((other for other in first if (board.runs / other.run / CONFIG).is_file()), row)
    ours, theirs = (read_yaml(board.runs / run / CONFIG, run)[0] for run in (row.run, leader.run))
    comparable = ours and theirs and row.run != leader.run
    return events.reader.curve(), difference_lines(ours, theirs, leader.name) if comparable else []


def figure_lines(row: Row, board: Board) -> list[str]:
    """The rank, and the board's metrics with their intervals."""
    lines = [f"rank {row.rank}" if row.rank else "in training: validation so far", ""]
    lines.append(f"{'':<{LABEL}}{'test' if row.rank else 'val':>8}{'95 % interval':>19}")
    for name in board.rules.columns:
        interval = row.artifact.intervals.get(name)
        between = f"{interval[0]:.4f} to {interval[1]:.4f}" if interval else "-"
        lines.append(f"{fit(clean(metric(name).label), LABEL)}{number(row.value(name)):>8}{between:>19}")
    return lines


def difference_lines(ours: Mapping[str, Any], theirs: Mapping[str, Any], leader: str) -> list[str]:
    """The keys in which two configs differ, each with the run's value and the leader's."""
    mine, other = (dict(islice(_leaves(config), MOST_KEYS)) for config in (ours, theirs))
    keys = [key for key in {**mine, **other} if mine.get(key) != other.get(key)]
    lines = [f"{key}: {mine.get(key, '-')}, not {other.get(key, '-')}" for key in keys[:MOST_DIFFERENCES]]
    lines += [f"and {len(keys) - MOST_DIFFERENCES} more keys"] if len(keys) > MOST_DIFFERENCES else []
    return [cut_end(line, WIDTH) for line in (f"Config, compared with {leader}", *(lines or ["no difference"]))]


def _leaves(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    from xray_tui.board.details import facts

    for key, value in tree.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield from facts({f"{prefix}{key}": value}).items()
