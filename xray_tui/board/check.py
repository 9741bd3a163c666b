"""The lines of `xray-tui check`: every unranked artifact with its reason."""

from __future__ import annotations

import glob
import json
from collections.abc import Iterator

from engine.contract.text import clean
from xray_tui.board.artifact import read_artifact
from xray_tui.board.index import read_bytes
from xray_tui.board.model import Artifact, Snapshot
from xray_tui.board.rules import Rules
from xray_tui.board.walk import join, walk


def problem_lines(snapshot: Snapshot) -> list[str]:
    """One line per problem of board.yaml and the notes, then one per unranked artifact with its reason."""
    return [*snapshot.problems, *(f"{clean(item.path)}: {item.reason}" for item in snapshot.rejected)]


def stray_lines(snapshot: Snapshot) -> list[str]:
    """One line per other JSON file that contains the primary metric, with the setting for board.yaml that adds it."""
    return [f"{clean(path)}: {_advice(path, snapshot.rules)}" for path in sorted(_strays(snapshot))]


def _strays(snapshot: Snapshot) -> Iterator[str]:
    rules = snapshot.rules
    names = [word.encode() for word, (name, _) in rules.meanings.items() if name == rules.primary]
    for folder in walk(snapshot.runs):
        for entry in folder.files:
            path = join(folder.path, entry.name)
            if entry.name.startswith(".") or not entry.name.lower().endswith(".json") or rules.is_artifact(path):
                continue
            try:
                data, mtime = read_bytes(snapshot.runs, path)
            except OSError:
                continue
            lowered = data.lower()
            if not any(name in lowered for name in names):  # parsing is slow
                continue
            if isinstance(read_artifact(data, path, mtime, rules), Artifact):
                yield path


def _advice(path: str, rules: Rules) -> str:
    name = glob.escape(path.rpartition("/")[2])
    globs = json.dumps([clean(pattern) for pattern in (*rules.artifacts, name)], ensure_ascii=False)
    return f"contains {clean(rules.primary)} but is not a test artifact; add it in board.yaml: artifacts: {globs}"
