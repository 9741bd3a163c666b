"""Rules: what a runs folder's board.yaml says about its board, with the defaults for all that it leaves out."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import translate
from functools import cached_property
from typing import Literal

from engine.contract.metrics import BOARD_COLUMNS, METRICS, Metric, metric
from engine.contract.names import ARTIFACT_GLOB

PLACES: tuple[str, ...] = (
    "metrics",
    "test",
    "presence",
    "test.presence",
    "best_joint_auc_plus_dice_pos",
    "best_dice_pos",
    "best_auc",
    "best",
)
"""Where older artifacts keep a metric that is not at their top level; the first hit wins."""

INSIGHTS: tuple[str, ...] = (
    "best_primary",
    "versus_reference",
    "best_roc_auc",
    "best_ap",
    "seed_groups",
    "leader_interval",
    "indistinguishable",
    "newest_versus_leader",
    "set_aside",
)
"""Every insight there is, in the order in which they are printed where board.yaml names none."""

LARGEST_COUNT = 10**12
"""Largest number of images that an artifact may report or board.yaml may expect."""


@dataclass(frozen=True, slots=True)
class Reference:
    """The run that the leader is measured against."""

    label: str
    run: str


@dataclass(frozen=True)
class Rules:
    """How one board finds, judges, ranks and prints. Without a board.yaml: the defaults."""

    title: str = "X-Ray Challenge Leaderboard"
    primary: str = "dice_pos"
    reference: Reference | None = None
    exclude: tuple[str, ...] = ("presence_scan", "regression", "smoke")
    artifacts: tuple[str, ...] = ()
    """Globs beside `*test_metrics*.json`; one with a slash is matched against the path, others against the name."""
    best_by: Literal["test", "val"] = "test"
    resolution: Literal["native", "input"] = "native"
    columns: tuple[str, ...] = BOARD_COLUMNS
    insights: tuple[str, ...] = INSIGHTS
    remarks: tuple[str, ...] = ()
    aliases: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    places: tuple[str, ...] = ()
    data_fingerprint: str | None = None
    expect: Mapping[str, int] = field(default_factory=dict)

    @property
    def metric(self) -> Metric:
        """The metric that ranks."""
        return metric(self.primary)

    @cached_property
    def meanings(self) -> dict[str, tuple[str, int]]:
        """Every name in lower case that an artifact may use -> the metric it means, and its place among that metric's
        names: the smaller goes first. A name means one metric: board.yaml's aliases go before the built-in ones."""
        own = dict.fromkeys((*(known.name for known in METRICS), self.primary, *self.columns, *self.aliases))
        found = {name.lower(): (name, 0) for name in own}
        for name, words in self.aliases.items():
            others = [word.lower() for word in words if word.lower() != name.lower()]
            found |= {word: (name, order) for order, word in enumerate(others, 1)}
        for known in METRICS:
            for order, word in enumerate(known.aliases, 1000):
                found.setdefault(word, (known.name, order))
        return found

    @cached_property
    def all_places(self) -> tuple[tuple[str, ...], ...]:
        """The built-in places, then board.yaml's, each as the keys that lead to it, in lower case."""
        return tuple(tuple(place.lower().split(".")) for place in dict.fromkeys((*PLACES, *self.places)))

    def is_artifact(self, path: str) -> bool:
        """Whether a file is a test artifact by its path relative to the runs folder. Hidden files never are."""
        name = path.rsplit("/", 1)[-1]
        if name.startswith("."):
            return False
        return self._name_pattern.match(name) is not None or (
            self._path_pattern is not None and self._path_pattern.match(path) is not None
        )

    @cached_property
    def _name_pattern(self) -> re.Pattern[str]:
        globs = (ARTIFACT_GLOB, *(glob for glob in self.artifacts if "/" not in glob))
        return re.compile("|".join(map(translate, globs)))

    @cached_property
    def _path_pattern(self) -> re.Pattern[str] | None:
        globs = [glob for glob in self.artifacts if "/" in glob]
        return re.compile("|".join(map(translate, globs))) if globs else None

    def excluded_by(self, path: str) -> str | None:
        """The word of `exclude` that the relative path contains, in any case; None: the path is welcome."""
        lowered = path.lower()
        return next((word for word in self.exclude if word.lower() in lowered), None)
