"""In which order the leaderboard shows its rows, and which of them. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from xray_tui.widgets.columns import Column

if TYPE_CHECKING:
    from xray_tui.board.rank import Row


@dataclass(frozen=True, slots=True)
class Sort:
    """By which column, best (or newest) first unless reversed."""

    column: str = "rank"
    reverse: bool = False


def arrange(rows: Sequence[Row], columns: Sequence[Column], sort: Sort, words: str) -> tuple[int, ...]:
    """Indices of the rows whose run or file holds every one of the words, in the order of `sort`.

    Rows without a value come last in both directions; equal values stay in the order of their rank.
    """
    kept = [index for index, row in enumerate(rows) if matches(row, words)] if words.strip() else list(range(len(rows)))
    column = next((column for column in columns if column.key == sort.column), columns[0])
    values = {index: column.value(rows[index]) for index in kept}
    known = [index for index in kept if values[index] is not None]
    known.sort(key=lambda index: values[index], reverse=column.descending != sort.reverse)
    return (*known, *(index for index in kept if values[index] is None))


def matches(row: Row, words: str) -> bool:
    """Whether the row's run or artifact path holds every word, whatever the case."""
    text = f"{row.run}\n{row.artifact.path}".casefold()
    return all(word in text for word in words.casefold().split())


def best_values(rows: Sequence[Row], columns: Sequence[Column]) -> dict[str, float]:
    """The best value of each metric on the board."""
    best = {}
    for column in columns:
        if column.metric:
            values = [value for row in rows if (value := column.value(row)) is not None]
            if values:
                best[column.key] = max(values) if column.descending else min(values)
    return best
