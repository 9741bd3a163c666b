"""Ranks a snapshot into a board with one row per run. Pure functions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from engine.contract.metrics import metric
from xray_tui.board.model import Artifact, Block, Board, Row, Snapshot
from xray_tui.board.rules import Rules

T = TypeVar("T", int, str)

PRESENCE = ("roc_auc_presence", "average_precision_presence", "sensitivity_at_90_specificity")
"""Image-level metrics, which do not depend on the resolution."""


@dataclass(frozen=True, slots=True)
class _Chosen:
    artifact: Artifact
    others: tuple[Artifact, ...]
    by_validation: bool


@dataclass(frozen=True, slots=True)
class _Usual:
    """The test data on which most runs of the board were scored."""

    num_samples: int | None
    num_positive: int | None
    fingerprint: str | None


def rank(snapshot: Snapshot) -> Board:
    """One row per run, by primary metric, then run name. The artifact of a run is chosen by `best_by`, then path."""
    rules = snapshot.rules
    runs: dict[str, list[Artifact]] = {}
    for artifact in snapshot.artifacts:
        runs.setdefault(artifact.run, []).append(artifact)
    chosen = [_choose(artifacts, rules) for artifacts in runs.values()]
    sign = -1.0 if rules.metric.higher_is_better else 1.0
    ranked = [(choice, ranked_figures(choice.artifact, rules)) for choice in chosen]
    ranked.sort(key=lambda pair: (sign * pair[1][rules.primary], pair[0].artifact.run))
    usual = _usual([choice.artifact for choice in chosen])
    rows = tuple(
        Row(
            place,
            choice.artifact.run,
            choice.artifact,
            figures,
            1 + len(choice.others),
            _marks(choice, usual, rules),
            choice.others,
        )
        for place, (choice, figures) in enumerate(ranked, start=1)
    )
    best_of_each = _best([figures for _, figures in ranked])
    return Board(snapshot.runs, rules, rows, snapshot.rejected, snapshot.problems, best_of_each)


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


def _best(blocks: Sequence[Block]) -> Block:
    names: set[str] = set().union(*blocks)
    columns = {name: [block[name] for block in blocks if name in block] for name in sorted(names)}
    return {name: (max if metric(name).higher_is_better else min)(values) for name, values in columns.items()}


def _choose(artifacts: list[Artifact], rules: Rules) -> _Chosen:
    """The best artifact of a run: by validation if the rules ask for it and an artifact reports it, else by test."""
    primary, sign = rules.primary, -1.0 if rules.metric.higher_is_better else 1.0
    if len(artifacts) == 1:
        return _Chosen(artifacts[0], (), rules.best_by == "val" and primary in artifacts[0].validation)
    ordered = sorted(artifacts, key=lambda artifact: (sign * ranked_figures(artifact, rules)[primary], artifact.path))
    if rules.best_by == "val":
        validated = [artifact for artifact in ordered if primary in artifact.validation]
        if validated:
            first = min(validated, key=lambda artifact: (sign * artifact.validation[primary], artifact.path))
            return _Chosen(first, tuple(artifact for artifact in ordered if artifact is not first), True)
    return _Chosen(ordered[0], tuple(ordered[1:]), False)


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


def _usual(artifacts: Iterable[Artifact]) -> _Usual:
    sizes: Counter[int] = Counter()
    positives: Counter[tuple[int, int]] = Counter()
    prints: Counter[str] = Counter()
    for artifact in artifacts:
        if artifact.num_samples is not None:
            sizes[artifact.num_samples] += 1
            if artifact.num_positive is not None:
                positives[artifact.num_samples, artifact.num_positive] += 1
        if artifact.fingerprint is not None:
            prints[artifact.fingerprint] += 1
    size = _most_common(sizes)
    of_that_size = Counter({pair[1]: count for pair, count in positives.items() if pair[0] == size})
    return _Usual(size, _most_common(of_that_size), _most_common(prints))


def _most_common(counts: Mapping[T, int]) -> T | None:
    """The most common value, the greatest of several; None if there are no values."""
    return max(counts, key=lambda value: (counts[value], value), default=None)


def _marks(chosen: _Chosen, usual: _Usual, rules: Rules) -> tuple[str, ...]:
    artifact, marks = chosen.artifact, []
    if chosen.others:
        marks.append(f"best of {1 + len(chosen.others)}{' by validation' if chosen.by_validation else ''}")
    marks += _data_marks(artifact, usual)
    resolution = _ranked_resolution(artifact, rules)
    if resolution is None:
        marks.append("resolution unknown")
    elif resolution != rules.resolution:
        marks.append(f"{resolution} resolution")
    return tuple(marks)


def _data_marks(artifact: Artifact, usual: _Usual) -> list[str]:
    """How the test data recorded in the artifact differs from that of most runs."""
    size, usual_size = artifact.num_samples, usual.num_samples
    if size is not None and usual_size is not None and size != usual_size:
        return [f"scored on {size}{' of' if size < usual_size else ', not'} {usual_size}"]
    if size is not None and artifact.num_positive is not None and artifact.num_positive != usual.num_positive:
        return [f"{artifact.num_positive} positives, not {usual.num_positive}"]
    if artifact.fingerprint is not None and artifact.fingerprint != usual.fingerprint:
        return ["scored on other data"]
    return []
