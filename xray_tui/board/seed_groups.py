"""Finds seed groups: runs that differ only in their seed, according to their configs or, if missing, their names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean, stdev

from xray_tui.board.model import Board, Row

_SEED_IN_NAME = re.compile(r"(?<![A-Za-z])(seed_|s|fold)\d+(?![A-Za-z0-9])")
_IGNORED = re.compile(r"\s*(#.*)?$|\s*(seed|partial_weights)\s*:")
"""Config lines that the comparison ignores: blank lines, comments, the seed, and partial_weights, which only
decides whether to refuse weights and is missing in configs of older versions."""
_DESCRIPTIVE = re.compile(r"(name|description)\s*:")
"""Top-level keys without effect on the run. A long description continues in indented lines."""
_PATH = re.compile(r"\s*(manifest|encoder_weights|init_from)\s*:")
"""Keys whose values are paths and can contain a seed. Other values cannot; for example, mobileone_s0 is an encoder."""


@dataclass(frozen=True, slots=True)
class SeedGroup:
    """Two or more runs that differ only in the seed."""

    label: str
    rows: tuple[Row, ...]
    """By rank."""
    mean: float
    """Mean of the primary metric."""
    sd: float
    """Its sample standard deviation (n - 1 in the denominator)."""


def seed_groups(board: Board, configs: Mapping[str, str]) -> list[SeedGroup]:
    """The seed groups of the board, best mean first. `configs` maps runs to the text of their resolved config."""
    members: dict[tuple[str, str], list[Row]] = {}
    for row in board.rows:
        config = seedless(configs.get(row.run, ""))
        key = ("config", config) if config else ("name", _seedless_name(row.run))
        members.setdefault(key, []).append(row)
    groups = []
    for rows in members.values():
        if len(rows) > 1:
            values = [row.figures[board.rules.primary] for row in rows]
            groups.append(SeedGroup(_label(rows), tuple(rows), fmean(values), stdev(values)))
    sign = -1.0 if board.rules.metric.higher_is_better else 1.0
    return sorted(groups, key=lambda group: (sign * group.mean, group.label))


def seedless(config: str) -> str:
    """The text of a config without the seed, name, description and seeds in paths.

    Comparing text is enough because the engine writes every resolved config in the same order and style.
    """
    lines: list[str] = []
    in_description = False
    for line in config.splitlines():
        if in_description and (not line or line[0].isspace()):
            continue
        in_description = _DESCRIPTIVE.match(line) is not None
        if in_description or _IGNORED.match(line):
            continue
        is_path = _PATH.match(line) and ("/" in line or "." in line)
        lines.append(_starred(line.rstrip()) if is_path else line.rstrip())
    return "\n".join(lines)


def _starred(text: str) -> str:
    return _SEED_IN_NAME.sub(r"\1*", text)


def _seedless_name(run: str) -> str:
    """The run with the seed replaced in its last path component only, because a group has runs of one folder."""
    folder, slash, name = run.rpartition("/")
    return folder + slash + _starred(name)


def _label(rows: list[Row]) -> str:
    """The label of a group: its folder if the names contain only the seed, otherwise the name with `*` for the seed."""
    names = {_seedless_name(row.run) for row in rows}
    if len(names) > 1:  # grouped by their configs
        return f"{rows[0].run} and {len(rows) - 1} more"
    folder, _, name = names.pop().rpartition("/")
    return folder if folder and name == "seed_*" else f"{folder}/{name}".lstrip("/")
