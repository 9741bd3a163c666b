"""The lines of `xray-tui check`: every unranked artifact with its reason."""

from __future__ import annotations

import glob
import json
from collections.abc import Iterator

from engine.contract.text import clean
from xray_tui.board.artifact import read_artifact
from xray_tui.board.index import read_bytes
from xray_tui.board.model import Artifact, Snapshot
from xray_tui.board.walk import join, walk


def check_lines(snapshot: Snapshot) -> Iterator[str]:
    """One line per problem of board.yaml and the notes, one per unranked artifact with its reason, and one per other
    JSON file that contains the primary metric, with the setting for board.yaml that adds it."""
    rules = snapshot.rules
    yield from snapshot.problems
    yield from (f"{clean(item.path)}: {item.reason}" for item in snapshot.rejected)
    for path in sorted(_strays(snapshot)):
        name = glob.escape(path.rpartition("/")[2])
        globs = json.dumps([clean(pattern) for pattern in (*rules.artifacts, name)], ensure_ascii=False)
        advice = f"contains {clean(rules.primary)} but is not a test artifact; add it in board.yaml: artifacts: {globs}"
        yield f"{clean(path)}: {advice}"


def _strays(snapshot: Snapshot) -> Iterator[str]:
    """Paths of the other JSON files that would be comparable artifacts."""
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
            may_hold = any(name in lowered for name in names)  # parsing is slow
            if may_hold and isinstance(read_artifact(data, path, mtime, rules), Artifact):
                yield path
