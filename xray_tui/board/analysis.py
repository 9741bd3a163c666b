"""The board's analysis, as sentences in Markdown. Some need further files, such as configs or per-image tables."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from random import Random

from engine.contract.names import CONFIG
from engine.contract.text import clean
from xray_tui.board.index import read_bytes
from xray_tui.board.model import Board, Row
from xray_tui.board.rank import best
from xray_tui.board.seed_groups import seed_groups

RIVALS = 10
"""Number of runs after the leader to compare with it image by image."""
LISTED = 5
"""Maximum number of artifacts or ranks to list in one sentence."""
_MARKDOWN = re.compile(r"[\\`*<>\[\]{}&~|!#$@]|\b_|_\b|://|\bwww\.", re.IGNORECASE)
"""Matches possible markup, links, mentions and issue references; underscores inside a word are harmless."""
PER_IMAGE_COLUMNS = {"dice_pos": "dice", "iou_pos": "iou"}
"""Metrics that are means over images, mapped to their column in the per-image table."""
RESAMPLES, FEWEST_RESAMPLES, MOST_DRAWS = 1000, 200, 1_000_000
"""Most and fewest resamples of a paired bootstrap; MOST_DRAWS (resamples x images) bounds the cost for many images."""


FEWEST_IMAGES = 10
"""With fewer images with a fracture no statement is made on which runs differ."""


def sentences(board: Board) -> list[str]:
    """The text of each bullet: insights enabled in board.yaml, then its remarks. Safe to print."""
    bullets: list[str] = []
    if board.rows:
        for name in board.rules.insights:
            bullets += _INSIGHTS[name](board)
    else:
        bullets.append("No test artifact is comparable yet.")
        if "set_aside" in board.rules.insights:
            bullets += _unranked(board)
    return bullets + [clean(" ".join(remark.split())) for remark in board.rules.remarks]


def code(text: str) -> str:
    """Untrusted text as a Markdown code span that the text cannot close, without control characters."""
    safe = clean(text)
    fence = "`" * (1 + max(map(len, re.findall("`+", safe)), default=0))
    pad = " " if "`" in (safe[:1], safe[-1:]) or safe[:1] == safe[-1:] == " " else ""
    return f"{fence}{pad}{safe}{pad}{fence}"


def plain(text: str) -> str:
    """Untrusted text, unchanged if it contains no Markdown, otherwise as a code span."""
    return code(text) if _MARKDOWN.search(text) else clean(text)


def four(value: float | None) -> str:
    """The value with four decimals, or `-` if it is missing."""
    return "-" if value is None else f"{value:.4f}"


def label(board: Board) -> str:
    """The primary metric as it is named in table headings."""
    return clean(board.rules.metric.label)


def _primary(board: Board, row: Row) -> float:
    return row.figures[board.rules.primary]


def _best_primary(board: Board) -> list[str]:
    leader = board.rows[0]
    return [
        f"Best overall {code(board.rules.primary)}: {code(board.named(leader))} at **{four(_primary(board, leader))}**."
    ]


def _versus_reference(board: Board) -> list[str]:
    reference = board.rules.reference
    row = next((row for row in board.rows if reference and row.run == reference.run), None)
    if reference is None or row is None or row.rank == 1:
        return []
    base = _primary(board, row)
    delta = _primary(board, board.rows[0]) - base
    relative = f" ({delta / base:.2%} relative)" if base else ""
    return [
        f"Versus {code(reference.label)} reference ({code(board.named(row))}, {four(base)}), the top run is "
        f"**{delta:+.4f} {label(board)}**{relative}."
    ]


def _best_of(board: Board, name: str, title: str) -> list[str]:
    row = best(board.rows, name)
    return (
        []
        if row is None
        else [f"Best fracture-presence {title}: {code(board.named(row))} at **{four(row.value(name))}**."]
    )


def _seed_groups(board: Board) -> list[str]:
    configs = read_configs(board.runs, board.rows)
    return [
        f"Seed group {code(group.label)} (n = {len(group.rows)}): "
        f"{label(board)} {four(group.mean)} ± {four(group.sd)}, {_ranks(group.rows)}."
        for group in seed_groups(board, configs)
    ]


def _ranks(rows: Sequence[Row]) -> str:
    first, last = rows[0].rank, rows[-1].rank
    if last - first == len(rows) - 1:
        return f"ranks {first} to {last}"
    if len(rows) > LISTED:
        return f"ranks from {first} to {last}"
    return f"ranks {', '.join(str(row.rank) for row in rows)}"


def _leader_interval(board: Board) -> list[str]:
    leader = board.rows[0]
    interval = leader.artifact.intervals.get(board.rules.primary)
    if interval is None or leader.figures is not leader.artifact.metrics:  # holds only at the artifact's resolution
        return []
    low, high = interval
    return [f"95 % interval of the leader's {label(board)}: {four(low)} to {four(high)}."]


@dataclass(frozen=True, slots=True)
class Ties:
    """The runs whose paired difference to the leader has a confidence interval that contains zero."""

    rows: tuple[Row, ...]
    compared: int
    """Number of runs with per-image scores that were compared."""
    images: int
    """Number of images with a fracture."""


def ties_with_leader(board: Board) -> Ties | None:
    """The runs that tie with the leader, among the next RIVALS; None if none of them can be compared."""
    column = PER_IMAGE_COLUMNS.get(board.rules.primary)
    if column is None or board.rules.resolution != "native" or not board.rows:
        return None
    leader, *rest = board.rows
    ours = read_per_image(board.runs, leader, column)
    if ours is None:
        return None
    tied, compared = [], 0
    for row in rest[:RIVALS]:
        theirs = read_per_image(board.runs, row, column)
        interval = difference_interval(ours, theirs) if theirs is not None else None
        if interval is not None:
            compared += 1
            if interval[0] <= 0.0 <= interval[1]:
                tied.append(row)
    return Ties(tuple(tied), compared, len(ours)) if compared else None


def _indistinguishable(board: Board) -> list[str]:
    ties = ties_with_leader(board)
    if ties is None:
        return []
    if ties.images < FEWEST_IMAGES:
        return [f"Too few images with a fracture ({ties.images}) to tell runs apart; expected {FEWEST_IMAGES} or more."]
    method = f"paired bootstrap over {ties.images} images with a fracture, 95 %"
    if not ties.rows:
        return [f"The leader differs from each of the {ties.compared} next runs with per-image scores ({method})."]
    return [
        f"Not distinguishable from the leader ({method}): {', '.join(code(board.named(row)) for row in ties.rows)}."
    ]


def _newest_versus_leader(board: Board) -> list[str]:
    newest = max(board.rows, key=lambda row: (row.artifact.time, -row.rank))
    if len(board.rows) < 2:
        return []
    if newest.rank == 1:
        return [f"The newest run, {code(board.named(newest))}, leads."]
    value = _primary(board, newest)
    delta = value - _primary(board, board.rows[0])
    return [
        f"Newest run: {code(board.named(newest))}, rank {newest.rank} with {label(board)} {four(value)} "
        f"({delta:+.4f} against the leader)."
    ]


def _unranked(board: Board) -> list[str]:
    if not board.set_aside:
        return []
    count = len(board.set_aside)
    listed = "; ".join(f"{code(item.path)} ({plain(item.reason)})" for item in board.set_aside[:LISTED])
    more = f"; and {count - LISTED} more (listed by `xray-tui check`)" if count > LISTED else ""
    return [f"{count} unranked {'artifact' if count == 1 else 'artifacts'}: {listed}{more}."]


def read_configs(runs: Path, rows: Iterable[Row]) -> dict[str, str]:
    """Maps each run with a readable config.yaml to its text."""
    texts = {row.run: read_text(runs, f"{row.run}/{CONFIG}") for row in rows if "/" in row.artifact.path}
    return {run: text for run, text in texts.items() if text is not None}


def read_per_image(runs: Path, row: Row, column: str) -> dict[str, float] | None:
    """Map image ids to the values of a column in the artifact's per-image table, without empty cells; None if no table.

    The table must be in the folder of the artifact or below it.
    """
    table = row.artifact.per_image
    if table is None or "\0" in table or PurePosixPath(table).is_absolute() or ".." in PurePosixPath(table).parts:
        return None
    text = read_text(runs, str(PurePosixPath(row.artifact.path).parent / table))
    try:
        lines = [line for line in csv.DictReader((text or "").splitlines()) if line.get(column)]
        scores = {line["id"]: float(line[column]) for line in lines}
    except (csv.Error, KeyError, ValueError):
        return None
    return scores if scores and all(map(math.isfinite, scores.values())) else None


def read_text(runs: Path, path: str) -> str | None:
    """The UTF-8 text of a regular file below the runs folder; None if it cannot be read as text."""
    try:
        return read_bytes(runs, path)[0].decode("utf-8-sig")
    except (OSError, UnicodeDecodeError):
        return None


def difference_interval(ours: Mapping[str, float], theirs: Mapping[str, float]) -> tuple[float, float] | None:
    """The 95 % percentile interval of the mean difference (ours - theirs) over images, by a paired bootstrap with a
    fixed seed; None if the images differ. Both map image ids to scores."""
    if not ours or ours.keys() != theirs.keys():
        return None
    differences = [ours[name] - theirs[name] for name in sorted(ours)]
    count = len(differences)
    resamples = max(FEWEST_RESAMPLES, min(RESAMPLES, MOST_DRAWS // count))
    draw = Random(0)
    means = sorted(math.fsum(draw.choices(differences, k=count)) / count for _ in range(resamples))
    return means[int(0.025 * (resamples - 1))], means[math.ceil(0.975 * (resamples - 1))]


_INSIGHTS: dict[str, Callable[[Board], list[str]]] = {
    "best_primary": _best_primary,
    "versus_reference": _versus_reference,
    "best_roc_auc": lambda board: _best_of(board, "roc_auc_presence", "ROC-AUC"),
    "best_ap": lambda board: _best_of(board, "average_precision_presence", "AP"),
    "seed_groups": _seed_groups,
    "leader_interval": _leader_interval,
    "indistinguishable": _indistinguishable,
    "newest_versus_leader": _newest_versus_leader,
    "set_aside": _unranked,
}
