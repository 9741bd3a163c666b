"""The leaderboard: one line per run, sorted and filtered; the cursor follows its run."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from rich.style import Style
from textual.binding import BindingType
from textual.content import Content
from textual.message import Message
from textual.strip import Strip

from engine.contract.text import clean
from xray_tui.keymap import bindings
from xray_tui.widgets.columns import (
    Column,
    Sort,
    arrange,
    columns_of,
    longest_name,
    matches,
    more,
    place,
    resolve_metrics,
    training_rows,
)
from xray_tui.widgets.format import fit
from xray_tui.widgets.list_view import ListView, strip

if TYPE_CHECKING:
    from xray_tui.board.model import Artifact, Board, Row

CHANGE_SECONDS = 6.0
"""Seconds for which a new or changed row is marked."""

MARKED, NEW, CHANGED = "●", "+", "~"
GUTTER = 2
"""Cells left of the first column, for the blending mark and the sign of a new or changed row."""


class Leaderboard(ListView):
    """Shows the rows of a Board. Keeps the sort, filter, marks and cursor when a new board is shown."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings("board")]
    HEAD_ROWS = 1
    STYLES = "leaderboard"
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        f"leaderboard--{name}" for name in ("cursor", "faint", "best", "changed", "marked")
    }

    @dataclass
    class Selected(Message):
        """The row under the cursor, or its board, has changed."""

        row: Row | None
        board: Board | None

        def can_replace(self, message: Message) -> bool:
            return isinstance(message, Leaderboard.Selected)

    @dataclass
    class Opened(Message):
        """The user wants to open the run screen."""

        row: Row

    def __init__(self, metrics: tuple[str, ...] = (), id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._metrics = metrics
        self._board: Board | None = None
        self._validations: Mapping[str, Mapping[str, float]] = {}
        """Maps the run of each running training to the metrics of its last validation."""
        self._rows: tuple[Row, ...] = ()
        """The rows of the board, then those of running trainings, which have rank 0 and stay at the end."""
        self._columns: tuple[Column, ...] = columns_of(())
        self._placed: tuple[tuple[Column, int], ...] = ()
        """The displayed columns, each with its width in cells."""
        self._dropped = 0
        """Number of columns that do not fit."""
        self._cursor_run: str | None = None
        """The run under the cursor."""
        self._artifacts: dict[str, Artifact] = {}
        """Maps each run to the artifact of its row on the board."""
        self._order: tuple[int, ...] = ()
        self._changed: dict[str, tuple[str, float]] = {}
        """Maps each new or changed run to its sign and the time at which the sign is removed."""
        self._drawn_ages: tuple[str, ...] = ()
        self._failure = ""
        self._polling_reason = ""
        self.sort = Sort()
        self.words = ""
        self.marked: set[str] = set()

    # Rows

    @property
    def row_count(self) -> int:
        return len(self._order)

    @property
    def empty(self) -> bool:
        """Whether the runs folder was read and has no run to show, filtered or not."""
        return self._board is not None and not self._rows

    @property
    def row(self) -> Row | None:
        """The row under the cursor."""
        return self.row_at(self.cursor)

    def row_at(self, index: int) -> Row | None:
        """The row shown at this index; None if the index is out of range."""
        return self._rows[self._order[index]] if 0 <= index < len(self._order) else None

    @property
    def marked_rows(self) -> list[Row]:
        """The marked rows, by rank."""
        return [row for row in self._board.rows if row.run in self.marked] if self._board else []

    @property
    def shown_runs(self) -> list[str]:
        """The runs in display order."""
        return [self._rows[index].run for index in self._order]

    def show(self, board: Board) -> None:
        """Show a new board, and mark new and changed rows for CHANGE_SECONDS."""
        first, self._board = self._board is None, board
        before, self._artifacts = self._artifacts, {row.run: row.artifact for row in board.rows}
        until = time.monotonic() + CHANGE_SECONDS
        changes = {
            run: (CHANGED if run in before else NEW, until)
            for run, artifact in self._artifacts.items()
            if (known := before.get(run)) is not artifact and known != artifact
        }
        if changes and not first:
            self._changed |= changes
            self.set_timer(CHANGE_SECONDS + 0.05, self._forget_changes)
        self.marked &= self._artifacts.keys()
        self._choose_columns()
        self._rearrange()

    def show_training(self, validations: Mapping[str, Mapping[str, float]]) -> None:
        """Show the running trainings of these runs at the end of the board, with their last validation."""
        if validations != self._validations:
            self._validations = validations
            self._rearrange()

    def _forget_changes(self) -> None:
        now = time.monotonic()
        self._changed = {run: (sign, until) for run, (sign, until) in self._changed.items() if until > now}
        self.refresh_changed()

    def _rearrange(self, keep_view: bool = True) -> None:
        """Sort and filter the rows. The cursor stays on its run and screen line; a view at the top stays there."""
        rows = self._board.rows if self._board else ()
        running = training_rows(self._validations, self._artifacts) if self._board else ()
        self._rows = (*rows, *running)
        top = round(self.scroll_target_y)
        before = self.cursor
        self._order = arrange(rows, self._columns, self.sort, self.words)
        self._order += tuple(len(rows) + at for at, row in enumerate(running) if matches(row, self.words))
        runs = self.shown_runs
        run = self._cursor_run
        self.cursor = runs.index(run) if run and run in runs else min(max(before, 0), len(runs) - 1)
        self._place_columns()
        self.resized_rows()
        if not keep_view:
            self.show_cursor()
            self.call_after_refresh(self.show_cursor)  # the view can scroll to new rows only after a refresh
        elif top > 0 and 0 <= before - top < self.page_rows:
            self.scroll_to(y=max(0, self.cursor - (before - top)), animate=False)
        self.refresh_changed()
        self._title()
        self.cursor_moved()

    def cursor_moved(self) -> None:
        row = self.row
        if row is not None:
            self._cursor_run = row.run
        self.show_subtitle(Content(" · ".join([row.source, *map(clean, row.marks)])) if row else None)
        self.post_message(self.Selected(row, self._board))

    def show_failure(self, line: str) -> None:
        """Show why the board may be out of date; an empty line removes it."""
        self._failure = line
        self._title()

    def show_polling(self, reason: str) -> None:
        """Show why the folder is polled instead of watched; an empty line removes it."""
        self._polling_reason = reason
        self._title()

    def _title(self) -> None:
        board = self._board
        title, parts = "Leaderboard", [self._failure]
        if board is not None:
            title, total, problems = clean(board.rules.title), len(board.rows), len(board.problems)
            parts += [
                f"{self.row_count} of {total} runs" if self.words else f"{total} run{'' if total == 1 else 's'}",
                f"filter: {clean(self.words)}" if self.words else "",
                f"{len(self.marked)} marked" if self.marked else "",
                f"{len(board.set_aside)} unranked (p)" if board.set_aside else "",
                f"! {problems} problem{'' if problems == 1 else 's'} (p)" if problems else "",
                f"polled: {self._polling_reason}" if self._polling_reason else "",
            ]
        self.border_title = Content.assemble((title, "bold"), "  ", " · ".join(filter(None, parts)))

    # Drawing

    def _choose_columns(self) -> None:
        if self._board is not None:
            rules, rows = self._board.rules, self._board.rows
            metrics = resolve_metrics(self._metrics, rules)[0] or rules.columns
            several = any(row.others for row in rows)
            self._columns = columns_of(metrics, longest_name(rows), several)
        self._place_columns()

    def _place_columns(self) -> None:
        self._placed, self._dropped = place(self._columns, self.size.width - GUTTER - 1, self.sort.column)

    def on_resize(self) -> None:
        self._choose_columns()
        super().on_resize()

    def refresh_ages(self) -> None:
        """Repaint the rows whose displayed age has changed."""
        now = time.time()
        column = next(column for column in self._columns if column.key == "age")
        top = round(self.scroll_offset.y)
        rows = filter(None, map(self.row_at, range(top, top + self.page_rows)))
        ages = tuple(column.text(row, now) for row in rows)
        if ages != self._drawn_ages:
            self._drawn_ages = ages
            self.refresh_changed()

    def draw_head(self, y: int, width: int) -> Strip:
        if self._board is not None and not self.row_count:
            return self.strip_of([(self._hint(), "faint")], width)
        style = self.part_style("faint")
        parts = [(" " * GUTTER, style)]
        for column, cells in self._placed:
            sorts = column.key == self.sort.column
            arrow = ("▼" if column.descending != self.sort.reverse else "▲") if sorts else ""
            text = fit(column.head[: max(1, cells - len(arrow))] + arrow, cells, column.align)
            parts += [(text, style + Style(bold=True) if sorts else style), (" ", style)]
        end = more(self._dropped)
        return Strip.join([strip(parts, width - len(end), style), strip([(end, style)], len(end), style)])

    def draw_row(self, index: int, width: int) -> Strip:
        row = self.row_at(index)
        assert row is not None
        now = time.time()
        mark = MARKED if row.run in self.marked else " "
        parts = [(mark, "marked"), (self._changed.get(row.run, (" ", 0.0))[0], "changed")]
        for column, cells in self._placed:
            text = column.text(row, now)
            parts += [(fit(text, cells, column.align), self._cell_style(row, column, text)), (" ", "")]
        return self.strip_of(parts, width, index == self.cursor)

    def _cell_style(self, row: Row, column: Column, text: str) -> str:
        if not row.rank:
            return "" if column.key == "run" else "faint"
        best = self._board.best.get(column.key) if self._board else None
        if column.metric and best is not None and column.value(row) == best:
            return "best"
        if column.key == "run":
            return "changed" if row.run in self._changed else ""
        return "" if column.metric and text != "-" else "faint"

    def _hint(self) -> str:
        """What an empty list shows in its only line."""
        if self.words and not self.empty:
            return "  No run's name or file contains these words. Escape removes the filter."
        return "  No test artifacts yet: t trains, e evaluates; *test_metrics*.json files appear automatically."

    # Key actions

    def sort_by(self, steps: int) -> None:
        """Sort by the displayed column that is `steps` to the right of the current one, wrapping around."""
        keys = [column.key for column, _ in self._placed] or ["rank"]
        at = keys.index(self.sort.column) if self.sort.column in keys else 0
        self.sort = Sort(keys[(at + steps) % len(keys)])
        self._rearrange(keep_view=False)

    def reverse(self) -> None:
        self.sort = Sort(self.sort.column, not self.sort.reverse)
        self._rearrange(keep_view=False)

    def filter(self, words: str) -> None:
        """Show only rows whose run or artifact path contains all of these words."""
        if words != self.words:
            self.words = words
            self._rearrange(keep_view=False)

    def unmark(self) -> None:
        self.marked.clear()
        self.refresh_changed()
        self._title()

    @property
    def _chosen(self) -> Row | None:
        """The row under the cursor; without one, a message says so."""
        if self.row is None:
            self.app.notify("There is no run under the cursor")
        return self.row

    def action_mark(self) -> None:
        if (row := self._chosen) is None:
            return
        if not row.rank:
            self.app.notify(f"{row.name} is still being trained; runs can be blended after an evaluation")
            return
        self.marked ^= {row.run}
        self._title()
        self.refresh_row(self.cursor)
        self.move_to(self.cursor + 1)

    def action_open(self) -> None:
        if (row := self._chosen) is not None:
            self.post_message(self.Opened(row))
