"""Immutable values of the board: artifacts, a snapshot of a runs folder, and the ranked rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from engine.contract.text import clean
from xray_tui.board.rules import Rules

Block = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Artifact:
    """One comparable test result. `path` and `run` are raw file names: pass them through `clean()` before showing."""

    path: str
    """Relative to the runs folder, with slashes."""
    run: str
    metrics: Block
    mtime: float
    validation: Block = field(default_factory=dict)
    """The same metrics on the validation split with the same choices, such as the threshold; empty if unknown."""
    input_size: Block = field(default_factory=dict)
    """The same metrics at the network's input size; empty if unknown."""
    threshold: float | None = None
    tta: str | None = None
    selection: Mapping[str, str | float | None] = field(default_factory=dict)
    intervals: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    num_samples: int | None = None
    num_positive: int | None = None
    fingerprint: str | None = None
    resolution: str | None = None
    """The resolution at which `metrics` were scored: "native", "input" or None if the artifact does not say."""
    created: float | None = None
    """Creation time recorded in the artifact, in seconds since the epoch."""
    per_image: str | None = None
    """Path of the per-image table, relative to the artifact's folder."""

    @property
    def threshold_source(self) -> str:
        """The source of the threshold: "fixed", "val" or "unknown". Artifacts with "test" are unranked."""
        source = str(self.selection.get("threshold_source")).strip().lower()
        return source if source in ("fixed", "val") else "unknown"

    @property
    def time(self) -> float:
        """Creation time recorded in the artifact, or the modification time of the file if there is none."""
        return self.mtime if self.created is None else self.created


@dataclass(frozen=True, slots=True)
class Rejected:
    """An unranked artifact. `reason` is safe to print, `path` and `run` are raw file names."""

    path: str
    run: str
    reason: str


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A runs folder at one moment. Immutable, so that threads can share it."""

    runs: Path
    rules: Rules
    artifacts: tuple[Artifact, ...]
    """Every comparable artifact, by path."""
    rejected: tuple[Rejected, ...]
    """Every unranked artifact and every unreadable folder, by path."""
    problems: tuple[str, ...]
    """One line per problem of board.yaml, a note.yaml or the runs folder itself."""


@dataclass(frozen=True, slots=True)
class Row:
    """One run on the board, represented by its best comparable artifact."""

    rank: int
    run: str
    """The raw file name; `name` is safe to show."""
    artifact: Artifact
    figures: Block
    """The metrics to rank by: those of the artifact at the resolution of the rules, if it reports them."""
    candidates: int
    """Number of comparable test artifacts of the run, including `artifact`."""
    marks: tuple[str, ...]
    """Short remarks that qualify the metrics, such as "best of 3"."""
    others: tuple[Artifact, ...] = ()
    """The other comparable artifacts of the run, best first."""

    def value(self, name: str) -> float | None:
        """The metric's value; None if the artifact does not report it."""
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
    """The content to show and export: rows, best first, and the unranked artifacts (`set_aside`)."""

    runs: Path
    rules: Rules
    rows: tuple[Row, ...]
    set_aside: tuple[Rejected, ...]
    problems: tuple[str, ...]
    best: Block = field(default_factory=dict)
    """The best value of each metric that any row reports."""

    def named(self, row: Row) -> str:
        """The run's name in exports: that in board.yaml, or that of its folder. Pass it through `clean()`."""
        return self.rules.names.get(row.run, row.run)
