"""The formats of the exports: their names, endings and functions."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from xray_tui.board.model import Board

if TYPE_CHECKING:
    from xray_tui.board.exports.html import Curves

_PASSING = re.compile(
    r"^_Generated: [^\n]*|^## GPU Status$.*?(?=^## )|>Generated: [^·]* ·|<h2>GPU Status</h2>.*?(?=<h2>)"
    r'|^  "generated": [^\n]*|^  "gpu_status": \[.*?\],$',
    re.DOTALL | re.MULTILINE,
)
"""Matches time stamp and GPU status in Markdown, HTML and JSON."""
ENDINGS = {"markdown": "md", "csv": "csv", "json": "json", "html": "html", "latex": "tex"}


def default_path(runs: Path, form: str = "markdown") -> Path:
    """Default path of an export: LEADERBOARD.md (.csv, .json) next to the runs folder."""
    return runs.absolute().parent / f"LEADERBOARD.{ENDINGS[form]}"


def exported(board: Board, form: str, gpu_status: Sequence[str], generated: str, curves: Curves) -> str:
    """The board in a format. CSV and LaTeX have no GPU status and no time stamp; only HTML has curves."""
    from xray_tui.board.exports import html, markdown, tables

    if form in ("csv", "latex"):
        return tables.to_csv(board) if form == "csv" else tables.to_latex(board)
    if form == "html":
        return html.to_html(board, gpu_status, generated, curves)
    return (markdown.to_markdown if form == "markdown" else tables.to_json)(board, gpu_status, generated)


def is_same(path: Path, text: str) -> bool:
    """Whether the file has this text, apart from time stamp and GPU status."""
    with suppress(OSError, UnicodeDecodeError):
        return _PASSING.sub("", path.read_text("utf-8")) == _PASSING.sub("", text)
    return False
