"""The blend's own presence score mixed with another run's: (1 - gamma) of its own and gamma of the other.

Both have to be probabilities. Those of classifiers and heads are, and in a mixture with heads the maximum of a map
stands for the head of a member without one. A score of the mixed map is no probability (the mean of a map with a small
fracture is 0.01), so it becomes one by Platt scaling: p = sigmoid(slope * log-odds(score) + offset), fitted on
validation. The scaling keeps the order of the scores, so that gamma 0 has the score's own ROC-AUC.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engine.evaluation.metrics import roc_auc_columns

Values = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

_LOWEST = 1e-6
"""Distance from 0 and 1 to which scores are clipped, because those have no log-odds."""
_STEPS = 50
_ENOUGH = 1e-10


def mixed(own: Values, other: Values, gamma: float) -> Values:
    """(1 - gamma) of the blend's own probabilities and gamma of the other run's."""
    return (1 - gamma) * own + gamma * other


def gamma_grid(step: float) -> Values:
    """From 0 to 1, both included."""
    return np.linspace(0.0, 1.0, round(1 / step) + 1)


@dataclass(frozen=True, slots=True)
class Fusion:
    """The other run's presence scores on validation, and the grid of gammas."""

    other: Values
    """(N,): the other run's presence scores."""
    gammas: Values
    fractured: Flags

    def best(self, own: Values) -> tuple[Values, Values]:
        """The highest ROC-AUC of each column of `own` (N, K), and its gamma, the smallest of equal ones: (K,) both."""
        mixtures = (mixed(own, self.other[:, None], gamma) for gamma in self.gammas)
        quality = np.stack([roc_auc_columns(mixture, self.fractured) for mixture in mixtures])
        best = quality.argmax(0)
        return quality.max(0), self.gammas[best]


def to_probability(scores: Values, scale: Values) -> Values:
    """Scores (…) in 0…1 as probabilities; `scale` (2,) or (2, …) holds slope and offset."""
    return np.asarray(1 / (1 + np.exp(-(scale[0] * _log_odds(scores) + scale[1]))))


def fit_scale(scores: Values, fractured: Flags) -> Values:
    """Slope and offset (2, K) for each column of scores (N, K) in 0…1, by maximum likelihood (Platt 1999). Platt's
    targets (n + 1) / (n + 2) instead of 1, and 1 / (n + 2) instead of 0, keep the slope finite where a score separates
    the classes perfectly. A score no better than chance gets the slope 0, and thus the same probability for every
    image, instead of a negative slope that would reverse it."""
    positives, negatives = int(fractured.sum()), int((~fractured).sum())
    targets = np.where(fractured, (positives + 1) / (positives + 2), 1 / (negatives + 2))[:, None]
    odds = _log_odds(scores)
    middle, spread = odds.mean(0), odds.std(0)
    x = (odds - middle) / np.where(spread > 0, spread, 1)
    slope, offset = _newton(x, targets)
    is_useful = (slope > 0) & (spread > 0)
    slope = np.where(is_useful, slope / np.where(spread > 0, spread, 1), 0.0)
    constant = np.log(targets.mean() / (1 - targets.mean()))
    return np.stack([slope, np.where(is_useful, offset - slope * middle, constant)])


def _newton(x: Values, targets: Values) -> tuple[Values, Values]:
    """Logistic regression of targets (N, 1) on each standardised column of x (N, K) separately."""
    slope, offset = np.zeros(x.shape[1]), np.zeros(x.shape[1])
    loss = _loss(x, targets, slope, offset)
    for _ in range(_STEPS):
        p = 1 / (1 + np.exp(-(slope * x + offset)))
        residual, weight = p - targets, p * (1 - p)
        g0, g1 = residual.mean(0), (residual * x).mean(0)
        h00, h01, h11 = weight.mean(0), (weight * x).mean(0), (weight * x * x).mean(0)
        determinant = np.maximum(h00 * h11 - h01**2, 1e-12)
        by_offset, by_slope = (h11 * g0 - h01 * g1) / determinant, (h00 * g1 - h01 * g0) / determinant
        share = np.ones_like(slope)
        for _ in range(_STEPS):  # a full step may overshoot where a score separates the classes almost perfectly
            tried = _loss(x, targets, slope - share * by_slope, offset - share * by_offset)
            if not (too_far := tried > loss + _ENOUGH).any():
                break
            share = np.where(too_far, share / 2, share)
        slope, offset = slope - share * by_slope, offset - share * by_offset
        if (loss - tried < _ENOUGH).all():
            break
        loss = tried
    return slope, offset


def _loss(x: Values, targets: Values, slope: Values, offset: Values) -> Values:
    z = slope * x + offset
    return np.asarray((np.logaddexp(0, z) - targets * z).mean(0))


def _log_odds(scores: Values) -> Values:
    clipped = np.clip(scores, _LOWEST, 1 - _LOWEST)
    return np.asarray(np.log(clipped / (1 - clipped)))
