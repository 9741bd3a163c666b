"""Reads board.yaml and note.yaml and reports each problem as one line. The only module of the board with YAML."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

from engine.contract.errors import BadInput
from engine.contract.metrics import METRICS
from engine.contract.names import BOARD
from engine.contract.text import brief, clean
from engine.contract.yaml_file import read_mapping
from xray_tui.board.fields import (
    Field,
    flaws_of,
    list_of,
    mapping_of,
    one_of,
    one_or_list_of,
    section,
    text,
    whole_number,
)
from xray_tui.board.rules import INSIGHTS, LARGEST_COUNT, Reference, Rules

REFERENCE_FIELDS = {
    "label": Field(text(), "name of the reference in the analysis", required=True),
    "run": Field(text(), "run of the reference, relative to the runs folder", required=True),
}

EXPECT_FIELDS = {
    "num_samples": Field(whole_number(0, LARGEST_COUNT), "images of the test split"),
    "num_positive": Field(whole_number(0, LARGEST_COUNT), "images of the test split with a fracture"),
}

BOARD_FIELDS = {
    "title": Field(text(), "title of the exported board"),
    "primary": Field(text(), "the metric to rank by"),
    "reference": Field(section(REFERENCE_FIELDS), "the run to compare the leader with: {label: nnUNet, run: path}"),
    "exclude": Field(list_of(text()), "words; artifacts with one of them in their path are unranked"),
    "artifacts": Field(list_of(text()), "globs of additional test artifacts"),
    "best_by": Field(one_of("test", "val"), "split that selects the best artifact of a run"),
    "resolution": Field(one_of("native", "input"), "resolution of the metrics to rank by"),
    "columns": Field(list_of(text(), least=1), "metrics to show as columns of the exports"),
    "insights": Field(list_of(one_of(*INSIGHTS)), "the sentences of the analysis"),
    "remarks": Field(list_of(text(0, 2000)), "your own bullets, printed after the insights"),
    "aliases": Field(mapping_of(one_or_list_of(text())), "other names of a metric in older artifacts"),
    "places": Field(list_of(text()), "dotted paths of blocks with metrics in older artifacts"),
    "data_fingerprint": Field(text(), "the expected data fingerprint of artifacts"),
    "expect": Field(section(EXPECT_FIELDS), "the expected counts: {num_samples: 613, num_positive: 108}"),
}
"""The keys of board.yaml. `Rules` has the defaults."""


def read_rules(path: Path) -> tuple[Rules, tuple[str, ...]]:
    """The rules in a board.yaml, and one line per problem. Invalid fields keep their default."""
    values, problems = _mapping(path, BOARD)
    flaws = list(flaws_of(values, BOARD_FIELDS))
    invalid = {flaw.where[0] for flaw in flaws}
    valid = {name: value for name, value in values.items() if name not in invalid and value is not None}
    return rules_of(valid), (*problems, *dict.fromkeys(f"{BOARD}: {flaw}; ignored" for flaw in flaws))


def rules_of(values: dict[str, Any]) -> Rules:
    """Rules from valid values of board.yaml. Without `columns`, the primary metric becomes the first column."""
    settings: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in values.items()
    }
    if "primary" in settings:
        settings["primary"] = metric_name(settings["primary"])
        settings.setdefault("columns", (settings["primary"], *Rules.columns))
    if "columns" in settings:
        settings["columns"] = tuple(dict.fromkeys(map(metric_name, settings["columns"])))
    if "aliases" in settings:
        settings["aliases"] = {
            metric_name(name): (names,) if isinstance(names, str) else tuple(names)
            for name, names in settings["aliases"].items()
        }
    if "reference" in settings:
        settings["reference"] = Reference(**settings["reference"])
    if "expect" in settings:
        settings["expect"] = {name: count for name, count in settings["expect"].items() if count is not None}
    return Rules(**settings)


def metric_name(name: str) -> str:
    """The canonical name of a metric, from any of its names in any case. Unknown names are returned unchanged."""
    word = name.strip().lower()
    return next((known.name for known in METRICS if word in (known.name, *known.aliases)), name)


def read_set_aside(path: Path, name: str) -> tuple[str | None, tuple[str, ...]]:
    """The reason why a note.yaml excludes its run from the ranking, or None, and one line per problem of the file."""
    values, problems = _mapping(path, name)
    reason = values.get("set_aside")
    if reason is None or reason is False or reason == "":
        return None, problems
    if not isinstance(reason, str):
        return "set aside by its note", problems
    return f"set aside by its note: {clean(reason.strip())[:300]}", problems


def _mapping(path: Path, name: str) -> tuple[dict[str, Any], tuple[str, ...]]:
    try:
        regular = stat.S_ISREG(path.stat().st_mode)
    except FileNotFoundError:  # a broken link
        regular = False
    except OSError as error:  # a link to itself or into a folder without access
        return {}, (f"{clean(name)}: cannot be read: {error.strerror or error}; ignored",)
    if not regular:  # reading a pipe would block
        return {}, (f"{clean(name)}: not a regular file; ignored",)
    try:
        values = read_mapping(path)
    except BadInput as error:
        return {}, tuple(line.replace(clean(str(path)), clean(name), 1) + "; ignored" for line in error.lines)
    return {key if isinstance(key, str) else brief(key): value for key, value in values.items()}, ()
