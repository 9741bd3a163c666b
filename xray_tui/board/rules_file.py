"""board.yaml and note.yaml, read with every problem as one line: the only module of the board that needs YAML."""

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
    "label": Field(text(), "what the reference is called in the sentence", required=True),
    "run": Field(text(), "its run, relative to the runs folder", required=True),
}

EXPECT_FIELDS = {
    "num_samples": Field(whole_number(0, LARGEST_COUNT), "images of the test split"),
    "num_positive": Field(whole_number(0, LARGEST_COUNT), "images of the test split with a fracture"),
}

BOARD_FIELDS = {
    "title": Field(text(), "headline of the exported board"),
    "primary": Field(text(), "the metric that ranks"),
    "reference": Field(section(REFERENCE_FIELDS), "a mapping {label: nnUNet, run: its run}"),
    "exclude": Field(list_of(text()), "words; a path that contains one does not rank"),
    "artifacts": Field(list_of(text()), "globs of further test artifacts"),
    "best_by": Field(one_of("test", "val"), "what a run's best artifact is chosen by"),
    "resolution": Field(one_of("native", "input"), "which block of an artifact ranks"),
    "columns": Field(list_of(text(), least=1), "metrics, the columns of the exports"),
    "insights": Field(list_of(one_of(*INSIGHTS)), "the sentences of the analysis"),
    "remarks": Field(list_of(text(0, 2000)), "hand-written bullets, printed after the insights"),
    "aliases": Field(mapping_of(one_or_list_of(text())), "metric: other names it has in older artifacts"),
    "places": Field(list_of(text()), "dotted places of metrics in older artifacts"),
    "data_fingerprint": Field(text(), "the fingerprint that artifacts must not contradict"),
    "expect": Field(section(EXPECT_FIELDS), "a mapping {num_samples: 613, num_positive: 108}"),
}
"""The keys of board.yaml; what is left out keeps the default that `Rules` has."""


def read_rules(path: Path) -> tuple[Rules, tuple[str, ...]]:
    """The rules in a board.yaml and a line a problem; a field that is wrong keeps its default."""
    values, problems = _mapping(path, BOARD)
    flaws = list(flaws_of(values, BOARD_FIELDS))
    wrong = {flaw.where[0] for flaw in flaws}
    right = {name: value for name, value in values.items() if name not in wrong and value is not None}
    return rules_of(right), (*problems, *dict.fromkeys(f"{BOARD}: {flaw}; ignored" for flaw in flaws))


def rules_of(values: dict[str, Any]) -> Rules:
    """Keys of board.yaml that have no flaw, over the defaults. Without `columns` the primary metric is shown first."""
    given: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
    if "primary" in given:
        given["primary"] = metric_name(given["primary"])
        given.setdefault("columns", (given["primary"], *Rules.columns))
    if "columns" in given:
        given["columns"] = tuple(dict.fromkeys(map(metric_name, given["columns"])))
    if "aliases" in given:
        given["aliases"] = {
            metric_name(name): (names,) if isinstance(names, str) else tuple(names)
            for name, names in given["aliases"].items()
        }
    if "reference" in given:
        given["reference"] = Reference(**given["reference"])
    if "expect" in given:
        given["expect"] = {name: count for name, count in given["expect"].items() if count is not None}
    return Rules(**given)


def metric_name(given: str) -> str:
    """The name under which a metric is known here, whatever its case and whichever of its names was given."""
    word = given.strip().lower()
    return next((known.name for known in METRICS if word in (known.name, *known.aliases)), given)


def read_set_aside(path: Path, name: str) -> tuple[str | None, tuple[str, ...]]:
    """The reason for which a run's note.yaml sets it aside, if it does, and a line for what is wrong with the file."""
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
    except FileNotFoundError:  # a link that leads nowhere
        regular = False
    except OSError as error:  # a link into a folder that one may not enter, or to itself
        return {}, (f"{clean(name)}: cannot be read: {error.strerror or error}; ignored",)
    if not regular:  # a pipe would be waited for, a folder cannot be read
        return {}, (f"{clean(name)}: not a regular file; ignored",)
    try:
        values = read_mapping(path)
    except BadInput as error:
        return {}, tuple(line.replace(clean(str(path)), clean(name), 1) + "; ignored" for line in error.lines)
    return {key if isinstance(key, str) else brief(key): value for key, value in values.items()}, ()
