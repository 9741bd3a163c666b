"""Seed groups: runs that differ only in their seed, found by their configs or, without one, by their names. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from xray_tui.board.model import Board, Row

_SEED_IN_NAME = re.compile(r"(?<![A-Za-z])(seed_|s|fold)\d+(?![A-Za-z0-9])")
_SAYS_NOTHING = re.compile(r"\s*(#.*)?$|\s*(seed|partial_weights)\s*:")
"""Lines of a config that say nothing of how the run differs: blank, comment, seed, and a key that only decides whether
weights are refused, which configs of older versions do not have."""
_TOLD = re.compile(r"(name|description)\s*:")
"""The top level's keys that are for people; a long description goes on in indented lines."""
_PATH = re.compile(r"\s*(manifest|encoder_weights|init_from)\s*:")
"""Keys whose values are paths, which may follow from the seed. No other value does: mobileone_s0 is an encoder."""


@dataclass(frozen=True, slots=True)
class SeedGroup:
    """Two runs or more that differ only in the seed."""

    label: str
    rows: tuple[Row, ...]
    """By rank."""
    values: tuple[float, ...]
    """Their primary metric, in the order of the rows."""

    @property
    def mean(self) -> float:
        return math.fsum(self.values) / len(self.values)

    @property
    def sd(self) -> float | None:
        """Standard deviation with n - 1 in the denominator; None for a single run."""
        if len(self.values) < 2:
            return None
        mean = self.mean
        return math.sqrt(math.fsum((value - mean) ** 2 for value in self.values) / (len(self.values) - 1))


def seed_groups(board: Board, configs: Mapping[str, str]) -> list[SeedGroup]:
    """The board's seed groups, best mean first. `configs`: run -> the text of its resolved config, where it has one."""
    members: dict[tuple[str, str], list[Row]] = {}
    for row in board.rows:
        config = seedless(configs.get(row.run, ""))
        key = ("config", config) if config else ("name", _seedless_name(row.run))
        members.setdefault(key, []).append(row)
    groups = [
        SeedGroup(_label(rows), tuple(rows), tuple(row.figures[board.rules.primary] for row in rows))
        for rows in members.values()
        if len(rows) > 1
    ]
    sign = -1.0 if board.rules.metric.higher_is_better else 1.0
    return sorted(groups, key=lambda group: (sign * group.mean, group.label))


def seedless(config: str) -> str:
    """A config's text without the seed, the run's name and description, and seeds in paths; "" where nothing is left.

    Text is enough: every resolved config is written by the engine, in one order and one style.
    """
    kept: list[str] = []
    telling = False
    for line in config.splitlines():
        if telling and (not line or line[0].isspace()):
            continue
        telling = _TOLD.match(line) is not None
        if telling or _SAYS_NOTHING.match(line):
            continue
        kept.append(_seedless_path(line) if _PATH.match(line) else line.rstrip())
    return "\n".join(kept)


def _seedless_path(line: str) -> str:
    """A line `key: path` with the seeds in its path replaced; a word without slash or ending names no file."""
    key, _, value = line.rstrip().partition(":")
    return f"{key}:{_starred(value)}" if "/" in value or "." in value else f"{key}:{value}"


def _starred(text: str) -> str:
    return _SEED_IN_NAME.sub(r"\1*", text)


def _seedless_name(run: str) -> str:
    """The run with the seed in its own name (not in its folders) replaced: only runs of one folder are a group."""
    folder, slash, name = run.rpartition("/")
    return folder + slash + _starred(name)


def _label(rows: list[Row]) -> str:
    """What a group is called: the folder where the names say no more than the seed, else the names' common form."""
    names = {_seedless_name(row.run) for row in rows}
    if len(names) > 1:  # their configs say that they are a group
        return f"{rows[0].run} and {len(rows) - 1} more"
    folder, _, name = names.pop().rpartition("/")
    return folder if folder and name == "seed_*" else f"{folder}/{name}".lstrip("/")
