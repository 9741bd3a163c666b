"""The joint search on validation: segmentation weights, threshold, presence source, its weights, and gamma."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from engine.blending.calibration import Flags, Fusion, Values, fit_scale, gamma_grid, mixed, to_probability
from engine.blending.members import Members, mix
from engine.contract.config import BlendConfig
from engine.contract.errors import BadInput
from engine.data.resize import mask_to_input, to_native
from engine.evaluation.choose import mean_dice_pos
from engine.evaluation.metrics import roc_auc_columns
from engine.evaluation.presence import HEAD, OF_AREA, OF_MAP, map_scores
from engine.evaluation.scores import counted_pixels, counted_values, counts_at, native_mask, quantise
from engine.process.progress import map_threaded

LARGEST_GRID = 1000


@dataclass(frozen=True, slots=True)
class SearchResult:
    """The result of the search."""

    weights: tuple[float, ...]
    threshold: float
    presence_source: str
    presence_weights: tuple[float, ...] | None
    """Weights of the members' own scores; None for a source of the mixed map."""
    gamma: float | None
    """Share of the other run's presence score; None without one."""
    scale: tuple[float, float] | None
    """Slope and offset that turn a map's score into a probability; None without another run's score."""

    def presence(self, own: Values, other: Values | None) -> Values:
        """The blend's presence scores (N,), from those of the chosen source and of the other run."""
        if self.gamma is None or other is None:
            return own
        return mixed(own if self.scale is None else to_probability(own, np.array(self.scale)), other, self.gamma)


def simplex(parts: int, step: float) -> list[tuple[float, ...]]:
    """All weights of `parts` members on a grid that sum to 1. Raises BadInput where they are too many."""
    total = round(1 / step)
    if math.comb(total + parts - 1, parts - 1) > LARGEST_GRID:
        raise BadInput(
            f"weight_step: {parts} members at {step:g} give more than {LARGEST_GRID} mixtures; give a larger step"
        )
    return [tuple(count / total for count in counts) for counts in _compositions(total, parts)]


def search(members: Members, config: BlendConfig) -> SearchResult:
    """The best mixture by config.objective; of equal ones the first of the grid, so the search is deterministic. Raises
    BadInput where the validation split lacks a class that the objective needs."""
    if config.objective != "dice_pos" and all(sample.fractured for sample in members.samples):
        raise BadInput(
            f"the validation split has no image without a fracture, which objective: {config.objective} needs; "
            "give objective: dice_pos"
        )
    grid = simplex(len(members.parts), config.weight_step)
    thresholds = threshold_grid(config.threshold_step)
    scored = _score_grid(members, grid, thresholds)
    fractured = np.array([sample.fractured for sample in members.samples], np.bool_)
    fusion = None if members.other is None else Fusion(members.other, gamma_grid(config.gamma_step), fractured)
    own_sources = _best_of_own(members, config, fractured, fusion)
    best: tuple[tuple[float, ...], tuple[float, ...], int, _Candidate] | None = None
    for index, weights in enumerate(grid):
        dice = mean_dice_pos(*(scored.counts[index, :, part] for part in range(3)))
        for candidate in [*own_sources, *_map_sources(scored, index, config, fractured, fusion)]:
            value = _objective(config.objective, dice, candidate.auc)
            at = int(np.argmax(value[0] if len(value) == 1 else value[0] + 1e-9 * value[1]))
            key = tuple(float(part[at]) for part in value)
            if best is None or key > best[0]:
                best = key, weights, at, candidate
    if best is None:
        raise BadInput("presence_sources: no member has one of them; add max or pred_area")
    _, weights, at, (source, own_weights, auc, gamma, scale) = best
    column = min(at, len(auc) - 1)
    return SearchResult(
        weights,
        float(thresholds[at]),
        source,
        own_weights,
        gamma=None if gamma is None else float(gamma[column]),
        scale=None if scale is None else (float(scale[0, column]), float(scale[1, column])),
    )


def threshold_grid(step: float) -> npt.NDArray[np.float64]:
    """Thresholds strictly between 0 and 1."""
    return np.round(np.arange(step, 1.0 - 1e-9, step), 6)


class _Scored(NamedTuple):
    """Every mixture (G) on validation."""

    counts: npt.NDArray[np.int64]
    """(G, P, 3, T): tp, fp and fn of the positives (P) at T thresholds."""
    maps: dict[str, Values]
    """Source of the map -> scores of all images (G, N)."""
    areas: dict[str, npt.NDArray[np.float32]]
    """Source of the predicted area -> scores of all images (G, N, T)."""


def _score_grid(members: Members, grid: list[tuple[float, ...]], thresholds: npt.NDArray[np.float64]) -> _Scored:
    largest = members.largest

    def score(index: int) -> tuple[npt.NDArray[np.int64], Values, npt.NDArray[np.float32]]:
        """(G, 3, T) counts, empty without a fracture: Dice is averaged over positives only; (G, S) scores of the map,
        (G, A, T) of the area."""
        mask = native_mask(members.samples[index])
        height, width = mask.shape
        contents = members.contents(index, height, width)
        rows, columns = contents.shape[1:]
        small = mask_to_input(mask, largest.size, largest.keep_aspect)[:rows, :columns]
        counts, maps, areas = [], [], []
        for weights in grid:
            content = mix(contents, weights)
            if (mask > 0).any():
                counts.append(counts_at(quantise(to_native(content, height, width)), mask, thresholds))
            tp, fp, _ = counts_at(quantise(content), small, thresholds)
            maps.append(list(map_scores(counted_values(content, small)).values()))
            areas.append([of(tp + fp, np.array(counted_pixels(small))) for of in OF_AREA.values()])
        return np.array(counts, np.int64), np.array(maps), np.array(areas, np.float32)

    counts, maps, areas = zip(*map_threaded(score, len(members.samples), "search on val"), strict=True)
    positives = [of_image for of_image in counts if of_image.size]
    if not positives:
        raise BadInput("the validation split has no positive image: the search needs one")
    all_maps, all_areas = np.stack(maps, 1), np.stack(areas, 1)
    return _Scored(
        np.stack(positives, 1),
        {source: all_maps[..., index] for index, source in enumerate(OF_MAP)},
        {source: all_areas[..., index, :] for index, source in enumerate(OF_AREA)},
    )


class _Candidate(NamedTuple):
    """A presence source of a mixture. Its arrays have one value for all thresholds (1,), or one for each (T,)."""

    source: str
    weights: tuple[float, ...] | None
    """Weights of the members' own scores."""
    auc: Values
    gamma: Values | None = None
    scale: Values | None = None
    """(2, 1) or (2, T)."""


def _best_of_own(members: Members, config: BlendConfig, fractured: Flags, fusion: Fusion | None) -> list[_Candidate]:
    """The best mixture of the members' own scores, if any member has a head. It depends on neither the mixed map nor
    the threshold."""
    if HEAD not in config.presence_sources or all(part.presence is None for part in members.parts):
        return []
    grid = simplex(len(members.parts), config.weight_step)
    scores = members.own_presence().T @ np.array(grid).T
    quality, gammas = (roc_auc_columns(scores, fractured), None) if fusion is None else fusion.best(scores)
    best = int(np.argmax(quality))
    gamma = None if gammas is None else gammas[best : best + 1]
    return [_Candidate(HEAD, grid[best], quality[best : best + 1], gamma)]


def _map_sources(
    scored: _Scored, index: int, config: BlendConfig, fractured: Flags, fusion: Fusion | None
) -> Iterator[_Candidate]:
    for source in config.presence_sources:
        if source in scored.maps:
            scores = scored.maps[source][index][:, None]
        elif source in scored.areas:
            scores = scored.areas[source][index].astype(np.float64)
        else:
            continue
        if fusion is None:
            yield _Candidate(source, None, roc_auc_columns(scores, fractured))
        else:
            scale = fit_scale(scores, fractured)
            yield _Candidate(source, None, *fusion.best(to_probability(scores, scale)), scale)


def _objective(objective: str, dice: Values, auc: Values) -> tuple[Values, ...]:
    """The values to compare, the most important first; each has an entry for every threshold."""
    if np.isnan(auc).any():  # a class is missing
        return (dice,)
    auc = np.broadcast_to(auc, dice.shape)
    if objective == "joint":
        return (dice + auc,)
    return (dice, auc) if objective == "dice_pos" else (auc, dice)


def _compositions(total: int, parts: int) -> Iterator[tuple[int, ...]]:
    """All ways to write `total` as an ordered sum of `parts` numbers from 0 up, the smallest first part first."""
    for bars in combinations(range(total + parts - 1), parts - 1):
        edges = (-1, *bars, total + parts - 1)
        yield tuple(edges[index + 1] - edges[index] - 1 for index in range(parts))
