"""Short words for the board's tests: put a file, read an artifact, see a board."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from xray_tui.board.artifact import read_artifact
from xray_tui.board.index import RunIndex
from xray_tui.board.model import Artifact, Board, Rejected
from xray_tui.board.rank import rank
from xray_tui.board.rules import Rules

RULES = Rules()


def put(path: Path, content: Any) -> Path:
    """Write a file with the folders that lead to it: bytes and text as they are, everything else as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    data = content if isinstance(content, bytes) else (content if isinstance(content, str) else json.dumps(content))
    path.write_bytes(data if isinstance(data, bytes) else data.encode("utf-8"))
    return path


def read(content: Any, path: str = "a/test_metrics.json", rules: Rules = RULES) -> Artifact | Rejected:
    """What the reader makes of a file with this content."""
    data = content if isinstance(content, bytes) else (content if isinstance(content, str) else json.dumps(content))
    return read_artifact(data if isinstance(data, bytes) else data.encode("utf-8"), path, 1.0, rules)


def comparable(content: Any, path: str = "a/test_metrics.json", rules: Rules = RULES) -> Artifact:
    artifact = read(content, path, rules)
    assert isinstance(artifact, Artifact), artifact
    return artifact


def reason(content: Any, path: str = "a/test_metrics.json", rules: Rules = RULES) -> str:
    refused = read(content, path, rules)
    assert isinstance(refused, Rejected), refused
    return refused.reason


def board_of(runs: Path) -> Board:
    return rank(RunIndex(runs).scan())


def reasons_of(runs: Path) -> dict[str, str]:
    """path -> reason of everything that does not rank."""
    return {each.path: each.reason for each in RunIndex(runs).scan().rejected}
