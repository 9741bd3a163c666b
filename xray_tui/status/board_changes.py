"""What has changed on the board since a time, by the artifacts' own times. Pure functions of a board.

A board remembers nothing: what was deleted or overwritten since is not seen, and a result that was copied here with
its old time counts as old.
"""

from __future__ import annotations

from dataclasses import dataclass

from xray_tui.board.model import Board, Snapshot
from xray_tui.board.rank import rank


@dataclass(frozen=True, slots=True)
class Result:
    """A run whose ranking artifact is newer."""

    rank: int
    run: str
    """Safe to show."""
    value: float
    """Of the primary metric."""
    before: float | None
    """The same by the artifacts that are older; None where it has none."""
    time: float


@dataclass(frozen=True, slots=True)
class Leader:
    """The best run at a moment."""

    run: str
    value: float


@dataclass(frozen=True, slots=True)
class Results:
    """What is newer than the time that was asked for."""

    metric: str
    results: tuple[Result, ...]
    """Best first."""
    leader: Leader | None
    led_before: Leader | None
    """Who leads by the artifacts that are older alone; None where there is none."""

    @property
    def leader_changed(self) -> bool:
        return self.leader is not None and (self.led_before is None or self.leader.run != self.led_before.run)


def results_since(board: Board, since: float) -> Results:
    """The runs whose ranking artifact is newer than `since`, and the leader now and by the older ones alone."""
    primary = board.rules.primary
    artifacts = [artifact for row in board.rows for artifact in (row.artifact, *row.others)]
    older = tuple(artifact for artifact in artifacts if artifact.time <= since)
    then = {row.run: row for row in rank(Snapshot(board.runs, board.rules, older, (), ())).rows}
    results = tuple(
        Result(
            row.rank,
            row.name,
            row.figures[primary],
            then[row.run].figures[primary] if row.run in then else None,
            row.artifact.time,
        )
        for row in board.rows
        if row.artifact.time > since
    )
    first, first_then = next(iter(board.rows), None), next(iter(then.values()), None)
    return Results(
        primary,
        results,
        None if first is None else Leader(first.name, first.figures[primary]),
        None if first_then is None else Leader(first_then.name, first_then.figures[primary]),
    )
