"""The limit on masks and annotations that a preparation may lose."""

from __future__ import annotations

from collections.abc import Sequence

LIMIT = 0.02
"""Largest share of the masks or annotations that may be lost without --accept-losses."""


def check_losses(lost: Sequence[str], total: int, accept: bool) -> list[str]:
    """The problems of a source that loses masks or annotations: none where at most LIMIT of `total` are lost, or where
    the user accepts it. lost: a line for each loss."""
    if accept or len(lost) <= LIMIT * total:
        return []
    summary = f"{len(lost)} of {total} masks or annotations would be lost; expected at most {LIMIT:.0%}"
    return [*lost, f"{summary} (--accept-losses prepares the rest)"]
