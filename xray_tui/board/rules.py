"""Rules: the settings in the board.yaml of a runs folder, with their defaults."""

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
    *("metrics", "test", "presence", "test.presence"),
    *("best_joint_auc_plus_dice_pos", "best_dice_pos", "best_auc", "best"),
)
"""Blocks of older artifacts to search for a metric that is missing at the top level; the first match wins."""

INSIGHTS: tuple[str, ...] = (
    *("best_primary", "versus_reference", "best_roc_auc", "best_ap"),
    *("seed_groups", "leader_interval", "indistinguishable", "newest_versus_leader", "set_aside"),
)
"""All insights in their default order."""

LARGEST_COUNT = 10**12
"""Largest number of images that an artifact may report or board.yaml may expect."""


@dataclass(frozen=True, slots=True)
class Reference:
    """The run to compare the leader with."""

    label: str
    run: str


@dataclass(frozen=True)
class Rules:
    """How one board finds, checks, ranks and prints artifacts."""

    title: str = "X-Ray Challenge Leaderboard"
    primary: str = "dice_pos"
    reference: Reference | None = None
    exclude: tuple[str, ...] = ("presence_scan", "regression", "smoke")
    artifacts: tuple[str, ...] = ()
    """Globs in addition to `*test_metrics*.json`. A glob with a slash matches the path, any other the file name."""
    best_by: Literal["test", "val"] = "test"
    resolution: Literal["native", "input"] = "native"
    columns: tuple[str, ...] = BOARD_COLUMNS
    insights: tuple[str, ...] = INSIGHTS
    remarks: tuple[str, ...] = ()
    names: Mapping[str, str] = field(default_factory=dict)
    """Maps runs to their names in exports, such as those of a paper."""
    aliases: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    places: tuple[str, ...] = ()
    data_fingerprint: str | None = None
    expect: Mapping[str, int] = field(default_factory=dict)

    @property
    def metric(self) -> Metric:
        """The primary metric, by which runs are ranked."""
        return metric(self.primary)

    @cached_property
    def meanings(self) -> dict[str, tuple[str, int]]:
        """Maps each name that artifacts may use, in lower case, to (metric, order); the name with the lowest order
        wins. The aliases of board.yaml override the built-in ones."""
        own = dict.fromkeys((*(known.name for known in METRICS), self.primary, *self.columns, *self.aliases))
        meanings = {name.lower(): (name, 0) for name in own}
        for name, words in self.aliases.items():
            others = [word.lower() for word in words if word.lower() != name.lower()]
            meanings |= {word: (name, order) for order, word in enumerate(others, 1)}
        for known in METRICS:
            for order, word in enumerate(known.aliases, 1000):
                meanings.setdefault(word, (known.name, order))
        return meanings

    @cached_property
    def all_places(self) -> tuple[tuple[str, ...], ...]:
        """The built-in places, then those of board.yaml, each as a tuple of keys in lower case."""
        return tuple(tuple(place.lower().split(".")) for place in dict.fromkeys((*PLACES, *self.places)))

    def is_artifact(self, path: str) -> bool:
        """Whether a path relative to the runs folder is that of a test artifact. Hidden files never are."""
        name = path.rsplit("/", 1)[-1]
        names, paths = self._patterns
        return not name.startswith(".") and bool(names.match(name) or paths.match(path))

    @cached_property
    def _patterns(self) -> tuple[re.Pattern[str], re.Pattern[str]]:
        """The globs of artifacts that match the file name, and those that match the path, as one pattern each."""
        names = [ARTIFACT_GLOB, *(glob for glob in self.artifacts if "/" not in glob)]
        paths = [translate(glob) for glob in self.artifacts if "/" in glob] or ["(?!)"]
        return re.compile("|".join(map(translate, names))), re.compile("|".join(paths))

    def excluded_by(self, path: str) -> str | None:
        """The first word of `exclude` in the relative path, ignoring case; None if there is none."""
        lowered = path.lower()
        return next((word for word in self.exclude if word.lower() in lowered), None)
