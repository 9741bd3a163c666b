"""Sorting and filtering of the leaderboard's rows. Pure functions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from xray_tui.widgets.columns import Column
from xray_tui.widgets.format import cells

if TYPE_CHECKING:
    from xray_tui.board.model import Row


@dataclass(frozen=True, slots=True)
class Sort:
    """The sort column, best (or newest) first unless reversed."""

    column: str = "rank"
    reverse: bool = False


def arrange(rows: Sequence[Row], columns: Sequence[Column], sort: Sort, words: str) -> tuple[int, ...]:
    """Indices of the rows whose run or artifact path contains all of the words, in the order of `sort`.

    Rows without a value come last in both directions; rows with equal values stay in the order of rank.
    """
    kept = [index for index, row in enumerate(rows) if matches(row, words)] if words.strip() else range(len(rows))
    column = next((column for column in columns if column.key == sort.column), columns[0])
    if column.key == "rank" and not sort.reverse:
        return tuple(kept)  # the rows of a board are in this order
    values = {index: column.value(rows[index]) for index in kept}
    known = [index for index in kept if values[index] is not None]
    known.sort(key=values.__getitem__, reverse=column.descending != sort.reverse)
    return (*known, *(index for index in kept if values[index] is None))


def matches(row: Row, words: str) -> bool:
    """Whether the row's run or artifact path contains every word, ignoring case."""
    text = f"{row.run}\n{row.artifact.path}".casefold()
    return all(word in text for word in words.casefold().split())


def longest_name(rows: Iterable[Row]) -> int:
    """Width in cells of the longest run name. `clean` turns each ASCII character into one cell."""
    return max((len(row.run) if row.run.isascii() else cells(row.name) for row in rows), default=0)
