"""Ranks a snapshot into a board with one row per run. Pure functions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TypeVar

from engine.contract.metrics import metric
from xray_tui.board.model import Artifact, Block, Board, Row, Snapshot
from xray_tui.board.rules import Rules

T = TypeVar("T", int, str)

PRESENCE = ("roc_auc_presence", "average_precision_presence", "sensitivity_at_90_specificity")
"""Image-level metrics, which do not depend on the resolution."""


def rank(snapshot: Snapshot) -> Board:
    """One row per run, sorted by primary metric, then run name. A run's artifact is chosen by `best_by`, then path."""
    return Ranker().rank(snapshot)


class Ranker:
    """Ranks one snapshot after the other, with the result of `rank`. Chooses and marks only what has changed."""

    def __init__(self) -> None:
        self._rules: Rules | None = None
        self._choices: dict[str, _Choice] = {}
        self._rows: dict[str, Row] = {}
        self._usual: _Usual | None = None

    def rank(self, snapshot: Snapshot) -> Board:
        """The board of a snapshot. Rows that are as before are the same objects as before."""
        rules = snapshot.rules
        if rules != self._rules:
            self._rules, self._choices = rules, {}
        runs: dict[str, list[Artifact]] = {}
        for artifact in snapshot.artifacts:
            runs.setdefault(artifact.run, []).append(artifact)
        before, self._choices = self._choices, {}
        for run, artifacts in runs.items():
            known = before.get(run)
            self._choices[run] = known if known and known.artifacts == artifacts else _choose(artifacts, rules)
        ranked = sorted(self._choices.values(), key=lambda choice: choice.key)
        usual = _usual([choice.best for choice in ranked])
        rows = {} if usual != self._usual else self._rows
        self._rows, self._usual = {}, usual
        for place, choice in enumerate(ranked, start=1):
            row = rows.get(choice.best.run)
            if row is None or row.artifact is not choice.best or row.others is not choice.others:
                marks = tuple(_marks(choice.best, len(choice.others), usual, rules))
                row = Row(
                    place,
                    choice.best.run,
                    choice.best,
                    choice.figures,
                    1 + len(choice.others),
                    marks,
                    choice.others,
                )
            elif row.rank != place:
                row = replace(row, rank=place)
            self._rows[row.run] = row
        best = _best_of_each([choice.figures for choice in ranked])
        return Board(snapshot.runs, rules, tuple(self._rows.values()), snapshot.rejected, snapshot.problems, best)


_Usual = tuple[int | None, int | None, str | None]


@dataclass(frozen=True, slots=True)
class _Choice:
    """The artifacts of one run, and which of them represents it."""

    artifacts: list[Artifact]
    best: Artifact
    others: tuple[Artifact, ...]
    """Best first."""
    figures: Block
    key: tuple[float, str]
    """The place of the run among others."""


def _choose(artifacts: list[Artifact], rules: Rules) -> _Choice:
    best, *others = _best_first(artifacts, rules)
    figures = ranked_figures(best, rules)
    return _Choice(artifacts, best, tuple(others), figures, (_sign(rules) * figures[rules.primary], best.run))


def _best_of_each(blocks: list[Block]) -> Block:
    """The best value of each metric."""
    columns: dict[str, list[float]] = {}
    for block in blocks:
        for name, value in block.items():
            columns.setdefault(name, []).append(value)
    return {name: (max if metric(name).higher_is_better else min)(values) for name, values in sorted(columns.items())}


def order(rows: Iterable[Row], name: str, *, best_first: bool = True) -> list[Row]:
    """The rows sorted by one metric. Missing values come last in both directions; ties keep the order of the board."""
    sign = -1.0 if metric(name).higher_is_better == best_first else 1.0

    def key(row: Row) -> tuple[bool, float, int]:
        value = row.value(name)
        return (value is None, 0.0 if value is None else sign * value, row.rank)

    return sorted(rows, key=key)


def best(rows: Iterable[Row], name: str) -> Row | None:
    """The row with the best value of a metric; None if no row reports it."""
    first = next(iter(order(rows, name)), None)
    return None if first is None or first.value(name) is None else first


def _sign(rules: Rules) -> float:
    return -1.0 if rules.metric.higher_is_better else 1.0


def _best_first(artifacts: list[Artifact], rules: Rules) -> list[Artifact]:
    """The artifacts of a run, sorted by their test result. If the rules ask for it and an artifact reports validation,
    the one that is best on validation comes first."""
    primary, sign = rules.primary, _sign(rules)
    if len(artifacts) == 1:
        return artifacts
    tests = {artifact.path: sign * ranked_figures(artifact, rules)[primary] for artifact in artifacts}
    ordered = sorted(artifacts, key=lambda artifact: (tests[artifact.path], artifact.path))
    if rules.best_by == "val":
        validated = [artifact for artifact in ordered if primary in artifact.validation]
        first = min(
            validated, key=lambda artifact: (sign * artifact.validation[primary], artifact.path), default=ordered[0]
        )
        ordered.sort(key=lambda artifact: artifact is not first)
    return ordered


def ranked_figures(artifact: Artifact, rules: Rules) -> Block:
    """The metrics to rank by. Image-level metrics missing from `input` are taken from the native ones."""
    if _ranked_resolution(artifact, rules) != "input" or artifact.resolution == "input":
        return artifact.metrics
    presence = {name: artifact.metrics[name] for name in PRESENCE if name in artifact.metrics}
    return {**presence, **artifact.input_size}


def _ranked_resolution(artifact: Artifact, rules: Rules) -> str | None:
    """The resolution of the metrics to rank by; None if the artifact does not say."""
    if rules.resolution == "input" and rules.primary in artifact.input_size:
        return "input"
    return artifact.resolution


def _usual(artifacts: list[Artifact]) -> _Usual:
    """The test data on which most runs were scored: number of images, number of positives in them, and fingerprint."""
    size = _most_common(artifact.num_samples for artifact in artifacts)
    positives = _most_common(artifact.num_positive for artifact in artifacts if artifact.num_samples == size)
    return size, positives, _most_common(artifact.fingerprint for artifact in artifacts)


def _most_common(values: Iterable[T | None]) -> T | None:
    """The most common value, or the greatest of several such values; None if there are no values."""
    counts = Counter(value for value in values if value is not None)
    return max(counts, key=lambda value: (counts[value], value), default=None)


def _marks(artifact: Artifact, others: int, usual: _Usual, rules: Rules) -> Iterator[str]:
    """Remarks: how many artifacts the best was chosen from, and whether the test data or the resolution is unusual."""
    if others:
        by_validation = rules.best_by == "val" and rules.primary in artifact.validation
        yield f"best of {1 + others}{' by validation' if by_validation else ''}"
    size, positives = artifact.num_samples, artifact.num_positive
    usual_size, usual_positives, usual_fingerprint = usual
    if size is not None and usual_size is not None and size != usual_size:
        yield f"scored on {size}{' of' if size < usual_size else ', not'} {usual_size}"
    elif size is not None and positives is not None and positives != usual_positives:
        yield f"{positives} positives, not {usual_positives}"
    elif artifact.fingerprint is not None and artifact.fingerprint != usual_fingerprint:
        yield "scored on other data"
    resolution = _ranked_resolution(artifact, rules)
    if resolution is None:
        yield "resolution unknown"
    elif resolution != rules.resolution:
        yield f"{resolution} resolution"
