"""The limit on masks and annotations that a preparation may lose."""

from __future__ import annotations

from collections.abc import Sequence

from engine.prepare.annotations.shapes import Flaw

LIMIT = 0.02
"""Largest share of the masks or annotations that may be lost without --accept-losses."""


def loss_problems(flaws: Sequence[Flaw], total: int, accept: bool) -> list[str]:
    """A line for each loss and a summary, if more than LIMIT of `total` are lost and the user does not accept it."""
    lost = sum(flaw.lost for flaw in flaws)
    if accept or lost <= LIMIT * total:
        return []
    summary = f"{lost:,} of {total:,} masks or annotations are lost or look inverted; at most {LIMIT:.0%}"
    return [*(flaw.line for flaw in flaws if flaw.lost), f"{summary} are accepted without --accept-losses"]
