"""What the board does not need of an artifact but a reader of one wants: read from its file when it is asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from engine.contract.text import clean
from xray_tui.board.index import read_bytes
from xray_tui.board.model import Block, Rejected
from xray_tui.board.parser import Document, NotComparable, parse
from xray_tui.board.rules import Rules

Facts = Mapping[str, str]
"""What a block says, by its keys: safe to show, each value in a few words, whatever was in the file."""

MOST_PARTS = 20
"""Of a block, a list or an object inside one; the rest is an ellipsis."""
DEEPEST = 4
LONGEST_KEY = 40
LONGEST_FACT = 600


@dataclass(frozen=True, slots=True)
class Details:
    """The rest of an artifact. Nothing in it is judged: what a file does not say, or says in another way, is absent."""

    all_positive: Block = field(default_factory=dict)
    """What a prediction of fracture everywhere scores on the same images: the floor of every figure beside it."""
    selection: Facts = field(default_factory=dict)
    data: Facts = field(default_factory=dict)
    provenance: Facts = field(default_factory=dict)
    problem: str | None = None
    """Why there are none."""


def read_details(runs: Path, path: str, rules: Rules) -> Details:
    """The details of the artifact at a path relative to the runs folder. Reads the file; never raises."""
    read = read_bytes(runs, path)
    if read is None:
        return Details(problem="the file is gone")
    if isinstance(read, Rejected):
        return Details(problem=read.reason)
    try:
        document = Document(parse(read[0]), rules)
    except NotComparable as problem:
        return Details(problem=clean(str(problem)))
    return Details(
        all_positive=document.metrics("all_positive"),
        selection=facts(document.selection),
        data=facts(document.data),
        provenance=facts(document.block("provenance")),
    )


def facts(block: Mapping[str, Any]) -> Facts:
    """The entries of a block in words."""
    found = {clean(key[:LONGEST_KEY]): _said(value, DEEPEST) for key, value in islice(block.items(), MOST_PARTS)}
    return {key: text for key, text in found.items() if key and text}


def _said(value: Any, deepest: int) -> str:
    """A JSON value in words: a list with commas between, an object as its keys each before its value."""
    if isinstance(value, str):
        return clean(value[:LONGEST_FACT])
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return f"{value:.6g}" if isinstance(value, float) else f"{value}"
    if value is None:
        return "none"
    return ", ".join(_parts(value, deepest - 1))[:LONGEST_FACT] if deepest else "…"


def _parts(value: list[Any] | dict[str, Any], deepest: int) -> Iterator[str]:
    if isinstance(value, list):
        yield from (_said(each, deepest) for each in value[:MOST_PARTS])
    else:
        for key, each in islice(value.items(), MOST_PARTS):
            yield f"{clean(key[:LONGEST_KEY])} {_said(each, deepest)}"
    if len(value) > MOST_PARTS:
        yield "…"
