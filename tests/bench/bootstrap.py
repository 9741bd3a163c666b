"""Bootstrap intervals: the time of one pass over all resamples against one scikit-learn call for each resample.

    python -P tests/bench/bootstrap.py [--images N] [--resamples R] [--rounds N]

-P: without it this folder would be searched for the package `engine`, and engine.py found. Both ways take turns, so
that a busy machine slows both. Printed are the median times and their ratio; the status is 1 below AT_LEAST.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from engine.evaluation.metrics import (
    INTERVAL_METRICS,
    PERCENTILES,
    Confusion,
    intervals,
    presence_metrics,
    segmentation_metrics,
)

AT_LEAST = 50.0


def intervals_by_resample(
    counts: Confusion | None,
    scores: npt.NDArray[np.float64],
    fractured: npt.NDArray[np.bool_],
    groups: Sequence[str | None],
    resamples: int,
    seed: int = 0,
) -> dict[str, list[float]]:
    """The same intervals from the same draws, with scikit-learn's AUC and AP on each resample."""
    generator = np.random.default_rng(seed)
    if any(group is not None for group in groups):
        names = [group if group is not None else f"\0{index}" for index, group in enumerate(groups)]
        _, unit_of = np.unique(names, return_inverse=True)
        strata = [[np.flatnonzero(unit_of == unit) for unit in range(unit_of.max() + 1)]]
    else:
        strata = [[np.array([index]) for index in np.flatnonzero(fractured == flag)] for flag in (True, False)]
    drawn: dict[str, list[float]] = {name: [] for name in INTERVAL_METRICS}
    for _ in range(resamples):
        chosen = np.concatenate(
            [units[i] for units in strata if units for i in generator.integers(len(units), size=len(units))]
        )
        metrics = presence_metrics(scores[chosen], fractured[chosen])
        if counts is not None:
            metrics |= segmentation_metrics(counts[chosen])
        for name in INTERVAL_METRICS:
            if name in metrics:
                drawn[name].append(metrics[name])
    return {
        name: [float(level) for level in np.percentile(values, PERCENTILES)]
        for name, values in drawn.items()
        if len(values) > resamples / 2
    }


def made_up(images: int, generator: np.random.Generator) -> tuple[Confusion, npt.NDArray[np.float64]]:
    """Pixel counts, of which a fifth are of positive images, and presence scores with ties."""
    area = generator.integers(20, 400, images) * (generator.random(images) < 0.2)
    tp = (area * generator.random(images) * (generator.random(images) < 0.7)).astype(np.int64)
    fp = generator.integers(0, 300, images) * (generator.random(images) < 0.4)
    scores = np.round(0.7 * generator.random(images) + 0.2 * (area > 0), 2)
    return Confusion(tp, fp, area - tp, np.full(images, 10_000)), scores


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--images", type=int, default=600, help="default: 600, as in FracAtlas's test split")
    parser.add_argument("--resamples", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    counts, scores = made_up(options.images, np.random.default_rng(0))
    slowest = float("inf")
    for name, groups in {
        "images": [None] * options.images,
        "patients": [str(index // 3) for index in range(options.images)],
    }.items():
        seconds: dict[str, list[float]] = {"once": [], "each": []}
        for _ in range(options.rounds):
            given = (counts, scores, counts.positive, groups, options.resamples)
            seconds["once"].append(timed(lambda given=given: intervals(*given)))
            seconds["each"].append(timed(lambda given=given: intervals_by_resample(*given)))
        once, each = (statistics.median(of) for of in seconds.values())
        slowest = min(slowest, each / once)
        print(f"{name}: {1000 * once:.0f} ms, one call for each resample {each:.2f} s: {each / once:.0f} times faster")
    return 0 if slowest >= AT_LEAST else 1


def timed(work: Callable[[], object]) -> float:
    """Seconds by the clock."""
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


if __name__ == "__main__":
    raise SystemExit(main())
