"""Exports the board as CSV, JSON or LaTeX. All text from files is cleaned."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Sequence
from typing import Any

from engine.contract.metrics import metric
from engine.contract.text import clean
from xray_tui.board.analysis import four, sentences
from xray_tui.board.model import Board, Row

BOARD_SCHEMA = "xray-board/1"
CSV_COLUMNS = ("source", "threshold", "threshold_source", "tta", "candidates")
_LATEX = {
    **{char: f"\\{char}" for char in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
}


def to_csv(board: Board) -> str:
    """One line per run with values in full precision. A missing value is an empty cell."""
    columns = board.rules.columns
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["rank", "run", *map(clean, columns), *CSV_COLUMNS, "marks"])
    for row in board.rows:
        values = _row_object(board, row)
        cells = (*map(row.value, columns), *map(values.get, CSV_COLUMNS))
        writer.writerow([row.rank, clean(board.named(row)), *cells, "; ".join(row.marks)])
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
        "rows": [_row_object(board, row) for row in board.rows],
        "set_aside": [{"path": clean(item.path), "reason": item.reason} for item in board.set_aside],
        "analysis": sentences(board),
        "problems": list(board.problems),
    }
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _row_object(board: Board, row: Row) -> dict[str, Any]:
    artifact = row.artifact
    return {
        "rank": row.rank,
        "run": row.name,
        **({"name": clean(board.named(row))} if row.run in board.rules.names else {}),
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


def to_latex(board: Board) -> str:
    """A booktabs table with the best value of each column in bold. It needs `\\usepackage{booktabs}`."""
    columns = board.rules.columns
    heads = ["Run", *(clean(metric(name).label) for name in columns)]
    lines = [rf"\begin{{tabular}}{{l{'r' * len(columns)}}}", r"\toprule", _latex_line(map(_latex, heads)), r"\midrule"]
    for row in board.rows:
        cells = [four(row.value(name)) if row.value(name) is not None else "--" for name in columns]
        bold = [
            rf"\textbf{{{cell}}}" if row.value(name) is not None and row.value(name) == board.best.get(name) else cell
            for name, cell in zip(columns, cells, strict=True)
        ]
        lines.append(_latex_line([_latex(clean(board.named(row))), *bold]))
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"]) + "\n"


def _latex_line(cells: Iterable[str]) -> str:
    return " & ".join(cells) + r" \\"


def _latex(text: str) -> str:
    """The text with the characters escaped that LaTeX reads as commands."""
    return re.sub(r"[&%$#_{}\\~^]", lambda found: _LATEX[found[0]], text)
