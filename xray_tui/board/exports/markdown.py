"""Exports the board as Markdown. All text from files is cleaned."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from engine.contract.metrics import metric
from engine.contract.text import clean
from xray_tui.board.analysis import code, four, sentences
from xray_tui.board.model import Board
from xray_tui.board.rank import PRESENCE


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
        _bullets(notes(board)),
    ]
    return "\n\n".join(sections) + "\n"


def _bullets(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _table(board: Board) -> str:
    columns = board.rules.columns
    headings = ["Rank", "Run", *(clean(metric(name).label) for name in columns), "Source"]
    lines = [_line(headings), "|---:|---|" + "---:|" * len(columns) + "---|"]
    for row in board.rows:
        values = (four(row.value(name)) for name in columns)
        lines.append(_line([str(row.rank), code(board.named(row)), *values, code(row.artifact.path)]))
    return "\n".join(lines)


def _line(cells: Iterable[str]) -> str:
    r"""A line of a table. Every `|` in a cell is escaped, because it would end the cell even inside a code span. GFM
    splits cells before it parses code spans, and removes exactly this backslash."""
    escaped = (cell.replace("|", r"\|") for cell in cells)
    return f"| {' | '.join(escaped)} |"


def notes(board: Board) -> list[str]:
    """The text of each bullet about how the board was made and what is unusual in its rows."""
    rules, presence = board.rules, [name for name in board.rules.columns if name in PRESENCE]
    by_validation = " (best on validation, where the artifacts report it)" if rules.best_by == "val" else ""
    words = [code(word) for word in rules.exclude]
    if len(words) > 2:
        words = [", ".join(words[:-1]) + ",", words[-1]]
    excluded = f" and excludes files with {' or '.join(words)} in path/name" if words else ""
    lines = [f"This ranking keeps one best **comparable** test artifact per run{by_validation}{excluded}."]
    if any(row.value(name) is None for row in board.rows for name in presence):
        lines.append("Some older runs do not report presence metrics; these cells are shown as `-`.")
    for row in board.rows:
        marks = [mark for mark in row.marks if not mark.startswith("best of") and mark != "resolution unknown"]
        lines += [f"{code(board.named(row))}: {mark}." for mark in marks]
    unknown = [code(board.named(row)) for row in board.rows if "resolution unknown" in row.marks]
    if 0 < len(unknown) < len(board.rows):
        names = ", ".join(unknown)
        lines.append(f"Scored at an unknown resolution, the others at {rules.resolution} size: {names}.")
    return lines
