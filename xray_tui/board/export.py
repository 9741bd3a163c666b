"""Exports the board as Markdown, CSV or JSON. All text from files is cleaned."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from engine.contract.metrics import metric
from engine.contract.text import clean
from xray_tui.board.analysis import code, four, sentences
from xray_tui.board.model import Board, Row
from xray_tui.board.rank import PRESENCE

BOARD_SCHEMA = "xray-board/1"
CSV_COLUMNS = ("source", "threshold", "threshold_source", "tta", "candidates")
ENDINGS = {"markdown": "md", "csv": "csv", "json": "json"}


def default_path(runs: Path, form: str = "markdown") -> Path:
    """Default path of an export: LEADERBOARD.md (.csv, .json) next to the runs folder."""
    return runs.absolute().parent / f"LEADERBOARD.{ENDINGS[form]}"


def to_markdown(board: Board, gpu_status: Sequence[str], generated: str) -> str:
    """The board as Markdown. `gpu_status` has the bullets of its GPU section; `generated` is the timestamp to print."""
    sections = [
        f"# {clean(board.rules.title)}",
        f"_Generated: {clean(generated)}_",
        "## GPU Status",
        _bullets(map(clean, gpu_status)),
        "## Ranking (Best Comparable Test Result Per Run)",
        _table(board),
        "## Analysis",
        _bullets(sentences(board)),
        "## Notes",
        _bullets(_notes(board)),
    ]
    return "\n\n".join(sections) + "\n"


def to_csv(board: Board) -> str:
    """One line per run with values in full precision. A missing value is an empty cell."""
    columns = board.rules.columns
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["rank", "run", *map(clean, columns), *CSV_COLUMNS, "marks"])
    for row in board.rows:
        values = _row_object(row)
        cells = (*map(row.value, columns), *map(values.get, CSV_COLUMNS))
        writer.writerow([row.rank, row.name, *cells, "; ".join(row.marks)])
    return text.getvalue()


def to_json(board: Board, gpu_status: Sequence[str], generated: str) -> str:
    """The content of the Markdown export as one object, with all metrics of every row."""
    rules = board.rules
    value = {
        "schema": BOARD_SCHEMA,
        "title": clean(rules.title),
        "generated": clean(generated),
        "primary": clean(rules.primary),
        "best_by": rules.best_by,
        "resolution": rules.resolution,
        "gpu_status": [clean(line) for line in gpu_status],
        "rows": [_row_object(row) for row in board.rows],
        "set_aside": [{"path": clean(item.path), "reason": item.reason} for item in board.set_aside],
        "analysis": sentences(board),
        "problems": list(board.problems),
    }
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _row_object(row: Row) -> dict[str, Any]:
    artifact = row.artifact
    return {
        "rank": row.rank,
        "run": row.name,
        "source": row.source,
        "metrics": {clean(name): value for name, value in row.figures.items()},
        "validation": {clean(name): value for name, value in artifact.validation.items()},
        "intervals": {clean(name): list(pair) for name, pair in artifact.intervals.items()},
        "threshold": artifact.threshold,
        "threshold_source": artifact.threshold_source,
        "tta": artifact.tta,
        "num_samples": artifact.num_samples,
        "num_positive": artifact.num_positive,
        "candidates": row.candidates,
        "marks": list(row.marks),
    }


def _bullets(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _table(board: Board) -> str:
    columns = board.rules.columns
    headings = ["Rank", "Run", *(clean(metric(name).label) for name in columns), "Source"]
    lines = [_line(headings), "|---:|---|" + "---:|" * len(columns) + "---|"]
    for row in board.rows:
        values = (four(row.value(name)) for name in columns)
        lines.append(_line([str(row.rank), code(row.run), *values, code(row.artifact.path)]))
    return "\n".join(lines)


def _line(cells: Iterable[str]) -> str:
    r"""A line of a table. Every `|` in a cell is escaped, because it would end the cell even inside a code span. GFM
    splits cells before it parses code spans, and removes exactly this backslash."""
    escaped = (cell.replace("|", r"\|") for cell in cells)
    return f"| {' | '.join(escaped)} |"


def _notes(board: Board) -> list[str]:
    rules, presence = board.rules, [name for name in board.rules.columns if name in PRESENCE]
    by_validation = " (best on validation, where the artifacts report it)" if rules.best_by == "val" else ""
    words = [code(word) for word in rules.exclude]
    if len(words) > 2:
        words = [", ".join(words[:-1]) + ",", words[-1]]
    excluded = f" and excludes files with {' or '.join(words)} in path/name" if words else ""
    notes = [f"This ranking keeps one best **comparable** test artifact per run{by_validation}{excluded}."]
    if any(row.value(name) is None for row in board.rows for name in presence):
        notes.append("Some older runs do not report presence metrics; these cells are shown as `-`.")
    for row in board.rows:
        marks = [mark for mark in row.marks if not mark.startswith("best of") and mark != "resolution unknown"]
        notes += [f"{code(row.run)}: {mark}." for mark in marks]
    unknown = [code(row.run) for row in board.rows if "resolution unknown" in row.marks]
    if 0 < len(unknown) < len(board.rows):
        names = ", ".join(unknown)
        notes.append(f"Scored at an unknown resolution, the others at {rules.resolution} size: {names}.")
    return notes
