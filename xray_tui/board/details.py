"""Details of one artifact that only the run screen needs; they are read from its file on request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from engine.contract.text import clean, look_text
from xray_tui.board.artifact import Document, NotComparable, parse
from xray_tui.board.index import read_bytes
from xray_tui.board.model import Block
from xray_tui.board.rules import Rules

Facts = Mapping[str, str]
"""Maps the keys of a block to short texts of their values, safe to show."""

MOST_PARTS = 20
"""Maximum number of entries to show of a block, or of a list or object in it; an ellipsis replaces the rest."""
DEEPEST = 4
LONGEST_KEY = 40
LONGEST_FACT = 600


@dataclass(frozen=True, slots=True)
class Details:
    """Further content of an artifact. It does not affect the ranking; missing or malformed entries are left out."""

    all_positive: Block = field(default_factory=dict)
    """Baseline: the metrics of predicting a fracture at every pixel of the same images."""
    selection: Facts = field(default_factory=dict)
    look: str | None = None
    """How often a choice was scored on test before, such as "3rd look at test"; None for an artifact without it."""
    data: Facts = field(default_factory=dict)
    provenance: Facts = field(default_factory=dict)
    problem: str | None = None
    """Why there are no details."""


def read_details(runs: Path, path: str, rules: Rules) -> Details:
    """Read the details of one artifact. `path` is relative to the runs folder. Never raises."""
    try:
        document = Document(parse(read_bytes(runs, path)[0]), rules)
    except OSError as error:
        return Details(problem=error.strerror or clean(str(error)))
    except NotComparable as problem:
        return Details(problem=clean(str(problem)))
    return Details(
        all_positive=document.metrics("all_positive"),
        selection=facts({key: value for key, value in document.selection.items() if key != "look"}),
        look=look_text(document.selection["look"]) if "look" in document.selection else None,
        data=facts(document.data),
        provenance=facts(document.block("provenance")),
    )


def facts(block: Mapping[str, Any]) -> Facts:
    """The entries of a block as short texts."""
    texts = {clean(key[:LONGEST_KEY]): _text(value, DEEPEST) for key, value in islice(block.items(), MOST_PARTS)}
    return {key: text for key, text in texts.items() if key and text}


def _text(value: Any, deepest: int) -> str:
    """A JSON value as text: list entries are separated by commas, and a key precedes its value."""
    if isinstance(value, str):
        return clean(value[:LONGEST_FACT])
    if value is None or isinstance(value, bool):
        return {None: "none", True: "yes", False: "no"}[value]
    if isinstance(value, int | float):
        return f"{value:.6g}" if isinstance(value, float) else f"{value}"
    if not deepest:
        return "…"
    if isinstance(value, dict):
        entries = islice(value.items(), MOST_PARTS)
        parts = [f"{clean(key[:LONGEST_KEY])} {_text(entry, deepest - 1)}" for key, entry in entries]
    else:
        parts = [_text(entry, deepest - 1) for entry in value[:MOST_PARTS]]
    return ", ".join(parts + ["…"] * (len(value) > MOST_PARTS))[:LONGEST_FACT]
