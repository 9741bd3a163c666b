"""Paired bootstrap over images for two runs that were scored on the same images."""

from __future__ import annotations

import math
from collections.abc import Mapping
from random import Random

RESAMPLES = 1000
BUDGET = 1_000_000
"""Maximum draws per comparison: more images mean fewer resamples, which bounds the cost."""
FEWEST = 200
"""Minimum number of resamples for a 95 % interval."""


def difference_interval(
    ours: Mapping[str, float], theirs: Mapping[str, float], seed: int = 0
) -> tuple[float, float] | None:
    """The 95 % percentile interval of the mean difference (ours - theirs) over images; None if the images differ.

    Both map image ids to scores. The same seed gives the same interval.
    """
    if not ours or ours.keys() != theirs.keys():
        return None
    differences = [ours[name] - theirs[name] for name in sorted(ours)]
    count = len(differences)
    resamples = max(FEWEST, min(RESAMPLES, BUDGET // count))
    draw = Random(seed)
    means = sorted(math.fsum(draw.choices(differences, k=count)) / count for _ in range(resamples))
    return means[int(0.025 * (resamples - 1))], means[math.ceil(0.975 * (resamples - 1))]
