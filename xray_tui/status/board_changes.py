"""Changes on the board since a time, by the artifacts' own times. Pure functions of a board.

The board has no history: artifacts that were deleted or overwritten since are missing, and a copied artifact with an
old time counts as old.
"""

from __future__ import annotations

from dataclasses import dataclass

from xray_tui.board.model import Board, Snapshot
from xray_tui.board.rank import rank


@dataclass(frozen=True, slots=True)
class Result:
    """A run whose ranking artifact is newer than the time in question."""

    rank: int
    run: str
    """Clean text."""
    value: float
    """Value of the primary metric."""
    before: float | None
    """The same from the older artifacts; None if the run has no older artifact."""
    time: float


@dataclass(frozen=True, slots=True)
class Leader:
    """The best run and its value of the primary metric."""

    run: str
    value: float


@dataclass(frozen=True, slots=True)
class Results:
    """Newer results, and the leader now and before."""

    metric: str
    results: tuple[Result, ...]
    """Best first."""
    leader: Leader | None
    leader_before: Leader | None
    """The leader among the older artifacts; None without an older artifact."""

    @property
    def leader_changed(self) -> bool:
        return self.leader is not None and (self.leader_before is None or self.leader.run != self.leader_before.run)


def results_since(board: Board, since: float) -> Results:
    """The runs whose ranking artifact is newer than `since` (epoch seconds), and the leader now and before."""
    primary = board.rules.primary
    artifacts = [artifact for row in board.rows for artifact in (row.artifact, *row.others)]
    older = tuple(artifact for artifact in artifacts if artifact.time <= since)
    before = {row.run: row for row in rank(Snapshot(board.runs, board.rules, older, (), ())).rows}
    results = tuple(
        Result(
            row.rank,
            row.name,
            row.figures[primary],
            before[row.run].figures[primary] if row.run in before else None,
            row.artifact.time,
        )
        for row in board.rows
        if row.artifact.time > since
    )
    best, best_before = next(iter(board.rows), None), next(iter(before.values()), None)
    return Results(
        primary,
        results,
        None if best is None else Leader(best.name, best.figures[primary]),
        None if best_before is None else Leader(best_before.name, best_before.figures[primary]),
    )
