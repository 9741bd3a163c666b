"""What a preparation says to its user."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from engine.contract.text import clean
from engine.data.prepare import Prepared

SHOWN = 12
"""Flaws of a kind that are printed; the file has all of them."""


def lines(prepared: Prepared) -> Iterator[str]:
    """The splits, then the flaws by kind."""
    yield clean(str(prepared.manifest))
    for split, count in prepared.counts.items():
        yield f"  {split:6}{count.images:7,} images, {count.fractured:,} fractured"
    by_kind = groupby(sorted(prepared.flaws), key=lambda flaw: flaw.kind)
    for kind, found in by_kind:
        flaws = list(found)
        yield f"{kind}: {len(flaws)}"
        yield from (f"  {clean(flaw.line)}" for flaw in flaws[:SHOWN])
        if len(flaws) > SHOWN:
            yield f"  … {len(flaws) - SHOWN} more in {clean(str(prepared.flaws_file))}"
