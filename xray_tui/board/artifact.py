"""A test artifact: the bytes of one test_metrics file become an `Artifact`, or a `Rejected` with the reason.

It reads test_metrics v1 and every older form that is on these servers: other names, other cases, nested blocks, search
files. The bytes come from anywhere; whatever they are, the answer is a value, never an exception.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from engine.contract.text import clean
from xray_tui.board.parser import Document, NotComparable, parse
from xray_tui.board.rules import Rules

Block = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Artifact:
    """One comparable test result. `path` and `run` are as the file system has them: `clean()` them before showing."""

    path: str
    """Relative to the runs folder, with slashes."""
    run: str
    metrics: Block
    mtime: float
    validation: Block = field(default_factory=dict)
    """The same metrics under the same choices on the validation split; empty where unknown."""
    input_size: Block = field(default_factory=dict)
    """The same metrics at the network's input size; empty where unknown."""
    threshold: float | None = None
    tta: str | None = None
    selection: Mapping[str, str | float | None] = field(default_factory=dict)
    intervals: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    num_samples: int | None = None
    num_positive: int | None = None
    fingerprint: str | None = None
    resolution: str | None = None
    """At which resolution `metrics` were scored: "native", "input", or None where the artifact does not say."""
    created: float | None = None
    """Seconds since the epoch, by the artifact's own word."""
    per_image: str | None = None
    """The per-image table, relative to the artifact's folder."""

    @property
    def threshold_source(self) -> str:
        """Where the threshold came from: "fixed", "val" or "unknown" ("test" never ranks)."""
        source = self.selection.get("threshold_source")
        return source if isinstance(source, str) and source in ("fixed", "val") else "unknown"

    @property
    def time(self) -> float:
        """When the result was made: its own word, else the file's modification time."""
        return self.mtime if self.created is None else self.created


@dataclass(frozen=True, slots=True)
class Rejected:
    """An artifact that does not rank, and why, in words that are safe to print."""

    path: str
    run: str
    reason: str


def run_of(path: str) -> str:
    """The run an artifact belongs to: its folder, or, directly in the runs folder, its name without the ending."""
    folder, _, name = path.rpartition("/")
    return folder or name.rpartition(".")[0] or name


def rejected(path: str, reason: str) -> Rejected:
    return Rejected(path, run_of(path), clean(reason))


def excluded(path: str, rules: Rules) -> Rejected | None:
    """The rejection of a path that one of the rules' words excludes; its file need not be read."""
    word = rules.excluded_by(path)
    return None if word is None else rejected(path, f"its path contains {word}")


def read_artifact(data: bytes, path: str, mtime: float, rules: Rules) -> Artifact | Rejected:
    """Judge one file by its bytes, its path relative to the runs folder, and the rules."""
    if (by_path := excluded(path, rules)) is not None:
        return by_path
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
