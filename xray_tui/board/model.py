"""The values of the board: artifacts, a snapshot of a runs folder, and the ranked rows. None of them ever changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from engine.contract.text import clean
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


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A runs folder at one moment. Nothing in it ever changes, so that any thread may hold it."""

    runs: Path
    rules: Rules
    artifacts: tuple[Artifact, ...]
    """Every comparable artifact, by path."""
    rejected: tuple[Rejected, ...]
    """Every artifact that does not rank, by path; a folder that cannot be read is among them."""
    problems: tuple[str, ...]
    """A line for everything that is wrong with board.yaml, a note.yaml or the runs folder itself."""


@dataclass(frozen=True, slots=True)
class Row:
    """One run on the board, by its best comparable artifact."""

    rank: int
    run: str
    """As the file system has it; `name` is safe to show."""
    artifact: Artifact
    figures: Block
    """The metrics that rank: the artifact's, at the resolution that the rules ask for where it has it."""
    candidates: int
    """How many comparable test artifacts the run has: this one is the best of so many."""
    marks: tuple[str, ...]
    """What a reader has to know beside the figures, in a few words each, such as "best of 3"."""
    others: tuple[Artifact, ...] = ()
    """The run's other comparable artifacts, the best first."""

    def value(self, name: str) -> float | None:
        """The metric's value; None where the artifact does not report it."""
        return self.figures.get(name)

    @property
    def name(self) -> str:
        return clean(self.run)

    @property
    def source(self) -> str:
        """The artifact's path, safe to show."""
        return clean(self.artifact.path)


@dataclass(frozen=True, slots=True)
class Board:
    """What is shown and exported: rows, best first, and what does not rank."""

    runs: Path
    rules: Rules
    rows: tuple[Row, ...]
    set_aside: tuple[Rejected, ...]
    problems: tuple[str, ...]
    best: Block = field(default_factory=dict)
    """The best value of each metric that a row reports."""
