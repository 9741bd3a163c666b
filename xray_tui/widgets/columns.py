"""The leaderboard's columns, the choice of columns that fit, and the order of its rows. Pure functions."""

from __future__ import annotations

import time
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from engine.contract.metrics import metric
from engine.contract.names import EVENTS
from engine.contract.text import clean
from xray_tui.widgets.format import age, cells, cut_end, number

if TYPE_CHECKING:
    from xray_tui.board.model import Row
    from xray_tui.board.rules import Rules

HEADS = {
    "roc_auc_presence": "ROC-AUC",
    "average_precision_presence": "AP",
    "precision_pos": "Prec_pos",
    "recall_pos": "Rec_pos",
    "dice_pos_median": "Med_Dice",
    "precision_pos_mean": "MeanPrec",
    "recall_pos_mean": "MeanRec",
    "sensitivity_at_90_specificity": "Sens@90",
}
"""Heads of metrics whose label is wider than their numbers."""

SOURCES = {"fixed": "fix", "val": "val", "unknown": "?"}
"""Threshold sources as shown in a cell."""

TRAINING = "▷"
"""What the row of a running training shows instead of a rank."""

NAME_WANTED = 30
"""Width in cells that run names get, if they need it, before less important columns are shown."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column of the leaderboard."""

    key: str
    head: str
    width: int
    text: Callable[[Row, float], str]
    """The cell's text, for a row and the current time in seconds since the epoch."""
    value: Callable[[Row], Any]
    """The sort value; None sorts last in both directions."""
    descending: bool = False
    """Whether the highest value comes first."""
    metric: bool = False
    align: str = "right"


def resolve_metrics(names: Iterable[str], rules: Rules) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the metrics that the settings' `columns` name under these rules, and a message for each unknown name."""
    from difflib import get_close_matches

    metrics, problems = [], []
    for name in names:
        word = name.strip().lower()
        if word in rules.meanings:
            metrics.append(rules.meanings[word][0])
        else:
            close = get_close_matches(word, rules.meanings, n=1)
            hint = f"did you mean {clean(close[0])}?" if close else "board.yaml can define aliases"
            problems.append(f"settings: columns: {clean(name)}: unknown metric; {hint}")
    return tuple(dict.fromkeys(metrics)), tuple(problems)


def columns_of(metrics: Sequence[str], name_width: int = 0, several: bool = False) -> tuple[Column, ...]:
    """All columns for these metrics, in display order. `name_width` is the width in cells of the longest run name;
    `several` adds the number of each run's artifacts."""
    best_of = Column("of", "of k", 4, lambda row, now: str(row.candidates), lambda row: row.candidates)
    return (
        Column("rank", "#", 3, lambda row, now: str(row.rank or TRAINING), lambda row: row.rank),
        Column("run", "Run", name_width, lambda row, now: row.name, lambda row: row.run.casefold(), align="left"),
        *map(_metric_column, metrics),
        Column("threshold", " Thr", 9, _threshold, lambda row: row.artifact.threshold, align="left"),
        Column("tta", "TTA", 4, lambda row, now: _tta(row), lambda row: row.artifact.tta),
        *((best_of,) if several else ()),
        Column("age", "Age", 4, lambda row, now: age(now - row.artifact.time), lambda row: row.artifact.time, True),
        Column("source", "Artifact", 42, _source, lambda row: row.artifact.path, align="left"),
    )  # fmt: skip


def _metric_column(name: str) -> Column:
    known = metric(name)
    head = clean(HEADS.get(name, known.label))[:12]
    return Column(
        name,
        head,
        max(7, len(head) + 1),  # one cell for the arrow
        lambda row, now: number(row.value(name)),
        lambda row: row.value(name),
        descending=known.higher_is_better,
        metric=True,
    )


def _threshold(row: Row, now: float) -> str:
    value = row.artifact.threshold
    if value is None:
        return "-"
    digits = f"{value:.3f}".rstrip("0").ljust(4, "0")
    return f"{digits:>5} {SOURCES[row.artifact.threshold_source]:<3}"


def _tta(row: Row) -> str:
    return cut_end(clean(row.artifact.tta or "-"), 4)


def _source(row: Row, now: float) -> str:
    folder, _, name = row.artifact.path.rpartition("/")
    return clean(name if folder == row.run else row.artifact.path)


def place(columns: Sequence[Column], width: int, sorted_by: str) -> tuple[tuple[tuple[Column, int], ...], int]:
    """The columns that fit into `width` cells, each with its width, and the number of columns dropped; one cell
    separates two columns, and the last cells are kept free for the number.

    The artifact column is shown only if every name fits completely, and then gets the space that the names do not need;
    it is never counted. Other columns are dropped from the right, but never the first three and the sort column, until
    the names have NAME_WANTED cells.
    """
    kept, dropped = list(columns), 0
    name_width = columns[1].width

    def room() -> int:
        """Cells left for the run names."""
        return width - sum(column.width + 1 for column in kept if column.key != "run") - len(more(dropped))

    for column in reversed(columns[3:]):
        extra = column.key == "source"
        if room() >= (name_width if extra else min(name_width, NAME_WANTED)):
            break
        if column.key != sorted_by:
            kept.remove(column)
            dropped += not extra
    names = max(4, room())
    slack = max(0, names - max(name_width, NAME_WANTED)) if kept[-1].key == "source" else 0
    widths = {"run": names - slack, "source": kept[-1].width + slack}
    return tuple((column, widths.get(column.key, column.width)) for column in kept), dropped


def more(dropped: int) -> str:
    """The sign of dropped columns at the end of the head, such as `+3`."""
    return f" +{dropped}" if dropped else ""


@dataclass(frozen=True, slots=True)
class Sort:
    """The sort column; the best (or newest) value comes first unless reversed."""

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


def training_rows(validations: Mapping[str, Mapping[str, float]], ranked: Container[str]) -> tuple[Row, ...]:
    """Unranked rows with rank 0 for the running trainings; a run with a row on the board gets no second one."""
    from xray_tui.board.model import Artifact, Row

    remark = ("still in training: its validation so far, unranked and never exported",)
    return tuple(
        Row(0, run, Artifact(f"{run}/{EVENTS}", run, values, time.time()), values, 0, remark)
        for run, values in validations.items()
        if run not in ranked
    )


def longest_name(rows: Iterable[Row]) -> int:
    """Width in cells of the longest run name. `clean` turns each ASCII character into one cell."""
    return max((len(row.run) if row.run.isascii() else cells(row.name) for row in rows), default=0)
