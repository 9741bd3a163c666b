"""Turns the bytes of one test_metrics file into an `Artifact`, or a `Rejected` with the reason. Never raises.

It reads test_metrics v1 and older formats: other metric names, upper case, nested blocks, search files.
"""

from __future__ import annotations

from engine.contract.text import clean
from xray_tui.board.model import Artifact, Rejected
from xray_tui.board.parser import Document, NotComparable, parse
from xray_tui.board.rules import Rules


def run_of(path: str) -> str:
    """The run of an artifact: its folder, or for a file directly in the runs folder its name without the suffix."""
    folder, _, name = path.rpartition("/")
    return folder or name.rpartition(".")[0] or name


def rejected(path: str, reason: str) -> Rejected:
    return Rejected(path, run_of(path), clean(reason))


def excluded(path: str, rules: Rules) -> Rejected | None:
    """A rejection if `exclude` of the rules matches the path, without reading the file; else None."""
    word = rules.excluded_by(path)
    return None if word is None else rejected(path, f"its path contains {word}")


def read_artifact(data: bytes, path: str, mtime: float, rules: Rules) -> Artifact | Rejected:
    """Check one file. `path` is relative to the runs folder."""
    if (rejection := excluded(path, rules)) is not None:
        return rejection
    try:
        document = Document(parse(data), rules)
        document.check_format()
        value = document.primary()
        document.check_selection()
        document.check_pins()
    except NotComparable as problem:
        return rejected(path, str(problem))
    return Artifact(
        path=path,
        run=run_of(path),
        metrics={**document.metrics(), rules.primary: value},
        mtime=mtime,
        validation=document.metrics("validation"),
        input_size=document.metrics("input"),
        threshold=document.threshold(path),
        tta=document.tta(path),
        selection=document.choices(),
        intervals=document.intervals(),
        num_samples=document.count("num_samples"),
        num_positive=document.count("num_positive"),
        fingerprint=document.fingerprint(),
        resolution=document.resolution(),
        created=document.created(),
        per_image=document.per_image(),
    )
