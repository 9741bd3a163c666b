"""What does not rank, and why: the lines of `xray-tui check`."""

from __future__ import annotations

import glob
import json
from collections.abc import Iterator

from engine.contract.text import clean
from xray_tui.board.artifact import read_artifact
from xray_tui.board.index import read_bytes
from xray_tui.board.model import Artifact, Snapshot
from xray_tui.board.rules import Rules
from xray_tui.board.walk import walk


def problem_lines(snapshot: Snapshot) -> list[str]:
    """A line for each artifact that does not rank, with its reason, after those for board.yaml and the notes."""
    return [*snapshot.problems, *(f"{clean(each.path)}: {each.reason}" for each in snapshot.rejected)]


def stray_lines(snapshot: Snapshot) -> list[str]:
    """A line for each other JSON file that holds the primary metric, with the line of board.yaml that would add it."""
    return [f"{clean(path)}: {_advice(path, snapshot.rules)}" for path in sorted(_strays(snapshot))]


def _strays(snapshot: Snapshot) -> Iterator[str]:
    rules = snapshot.rules
    names = [word.encode() for word, (name, _) in rules.meanings.items() if name == rules.primary]
    for folder in walk(snapshot.runs):
        for entry in folder.files:
            path = f"{folder.path}/{entry.name}" if folder.path else entry.name
            if entry.name.startswith(".") or not entry.name.lower().endswith(".json") or rules.is_artifact(path):
                continue
            read = read_bytes(snapshot.runs, path)
            if not isinstance(read, tuple):
                continue
            data, mtime = read
            lowered = data.lower()
            if not any(name in lowered for name in names):  # parsing is what costs
                continue
            if isinstance(read_artifact(data, path, mtime, rules), Artifact):
                yield path


def _advice(path: str, rules: Rules) -> str:
    name = glob.escape(path.rpartition("/")[2])
    globs = json.dumps([clean(each) for each in (*rules.artifacts, name)], ensure_ascii=False)
    return f"holds {clean(rules.primary)} but is no test artifact; in board.yaml this adds it: artifacts: {globs}"
