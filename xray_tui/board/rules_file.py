"""Reads board.yaml and reports each problem as one line.

The only module of the board that imports pydantic's core. Its schemas are written out, because importing pydantic and
building a model would take longer than all else that a board.yaml adds to the start of the app."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pydantic_core import SchemaValidator, ValidationError

from engine.contract.metrics import METRICS
from engine.contract.names import BOARD
from engine.contract.text import LONGEST_BRIEF, brief, clean
from xray_tui.board.note import read_yaml
from xray_tui.board.rules import INSIGHTS, LARGEST_COUNT, Reference, Rules

Schema = dict[str, Any]
"""A schema of pydantic_core."""

MOST_LINES = 10
"""Maximum number of lines per key, because a list with wrong entries has an error per entry."""

EXPECTED = {
    "string_type": "text",
    "string_too_short": "text of at least {min_length} characters",
    "string_too_long": "text of at most {max_length} characters",
    "tuple_type": "a list",
    "too_short": "at least {min_length} entries",
    "too_long": "at most {max_length} entries",
    "dict_type": "a mapping",
    "literal_error": "{expected}",
    "int_type": "a whole number",
    "greater_than_equal": "a whole number of at least {ge}",
    "less_than_equal": "a whole number of at most {le}",
}
"""What is expected, for each of pydantic's error types."""


def metric_name(name: str) -> str:
    """The canonical name of a metric, from any of its names in any case. Unknown names are returned unchanged."""
    word = name.strip().lower()
    return next((known.name for known in METRICS if word in (known.name, *known.aliases)), name)


TEXT = {"type": "str", "min_length": 1, "max_length": 200}
REMARK = {"type": "str", "max_length": 2000}
COUNT = {"type": "int", "strict": True, "ge": 0, "le": LARGEST_COUNT}


def _after(schema: Schema, function: Callable[[Any], Any], when: str = "after") -> Schema:
    return {"type": f"function-{when}", "function": {"type": "no-info", "function": function}, "schema": schema}


def _list(item: Schema, least: int = 0) -> Schema:
    limits = {"min_length": least, "max_length": 1000}
    return {"type": "tuple", "items_schema": [item], "variadic_item_index": 0, **limits}


def _one_of(*words: str) -> Schema:
    return {"type": "literal", "expected": list(words)}


def _mapping(fields: Mapping[str, Schema], required: bool = False) -> Schema:
    """A mapping of these keys and no others. All are required, or none is and each may be null."""
    kind = {"type": "typed-dict-field", "required": required}
    schemas = {key: schema if required else {"type": "nullable", "schema": schema} for key, schema in fields.items()}
    keys = {key: {**kind, "schema": schema} for key, schema in schemas.items()}
    return {"type": "typed-dict", "extra_behavior": "forbid", "fields": keys}


METRIC, TEXTS = _after(TEXT, metric_name), _list(TEXT)
NAMES = _after(TEXTS, lambda value: [value] if isinstance(value, str) else value, "before")
ALIASES = {"type": "dict", "keys_schema": METRIC, "values_schema": NAMES, "max_length": 1000}
LABELS = {"type": "dict", "keys_schema": TEXT, "values_schema": TEXT, "max_length": 1000}
REFERENCE = {"label": TEXT, "run": TEXT}
EXPECT = {"num_samples": COUNT, "num_positive": COUNT}

KEYS: dict[str, tuple[str, Schema]] = {
    "title": ("title of the exported board", TEXT),
    "primary": ("the metric to rank by", METRIC),
    "reference": ("the run to compare the leader with: {label: nnUNet, run: path}", _mapping(REFERENCE, required=True)),
    "exclude": ("words; artifacts with one of them in their path are unranked", TEXTS),
    "artifacts": ("globs of additional test artifacts", TEXTS),
    "best_by": ("split that selects the best artifact of a run", _one_of("test", "val")),
    "resolution": ("resolution of the metrics to rank by", _one_of("native", "input")),
    "columns": ("metrics to show as columns of the exports", _list(METRIC, 1)),
    "insights": ("the sentences of the analysis", _list(_one_of(*INSIGHTS))),
    "remarks": ("your own bullets, printed after the insights", _list(REMARK)),
    "names": ("names of runs in exports: {run: name}", LABELS),
    "aliases": ("other names of a metric in older artifacts", ALIASES),
    "places": ("dotted paths of blocks with metrics in older artifacts", TEXTS),
    "data_fingerprint": ("the expected data fingerprint of artifacts", TEXT),
    "expect": ("the expected counts: {num_samples: 613, num_positive: 108}", _mapping(EXPECT)),
}
"""The keys of board.yaml: what each is for, and its schema. `Rules` has the defaults."""


def read_rules(path: Path) -> tuple[Rules, tuple[str, ...]]:
    """The rules in a board.yaml, and one line per problem. Invalid fields keep their default.

    Without `columns`, the primary metric becomes the first column."""
    values, problems = read_yaml(path, BOARD)
    validator = SchemaValidator(_mapping({key: schema for key, (_, schema) in KEYS.items()}))
    try:
        settings = validator.validate_python(values)
    except ValidationError as error:
        problems = (*problems, *_lines(error))
        invalid = {item["loc"][0] for item in error.errors(include_url=False)}
        settings = validator.validate_python({key: value for key, value in values.items() if key not in invalid})
    settings = {key: value for key, value in settings.items() if value is not None}
    if "primary" in settings and "columns" not in settings:
        settings["columns"] = (settings["primary"], *Rules.columns)
    if "columns" in settings:
        settings["columns"] = tuple(dict.fromkeys(settings["columns"]))
    if "reference" in settings:
        settings["reference"] = Reference(**settings["reference"])
    settings["expect"] = {key: count for key, count in settings.get("expect", {}).items() if count is not None}
    return Rules(**settings), problems


def _lines(error: ValidationError) -> tuple[str, ...]:
    """One line per error: key, what is expected, the value, and what the key is for."""
    lines: dict[str, None] = {}
    counts: Counter[str] = Counter()
    for item in error.errors(include_url=False):
        key, *_ = parts = [str(part) for part in item["loc"] if part != "[key]"]
        counts[key] += 1
        if counts[key] <= MOST_LINES:
            place = ".".join(clean(part)[:LONGEST_BRIEF] for part in parts)
            lines[f"{BOARD}: {place}: {_problem(item, parts)}; ignored"] = None
    return tuple(lines)


def _problem(item: Any, parts: list[str]) -> str:
    key, kind = parts[0], item["type"]
    if kind == "extra_forbidden":
        from difflib import get_close_matches

        known = list(KEYS if len(parts) == 1 else REFERENCE if key == "reference" else EXPECT)
        word = parts[-1][:LONGEST_BRIEF]
        close = [name for name in known if name[:5] == word[:5]] or get_close_matches(word, known, n=1)
        return f"unknown key; did you mean {close[0]}?" if close else f"unknown key; known keys: {', '.join(known)}"
    purpose, _ = KEYS[key]
    if kind == "missing":
        return f"is missing ({purpose})"
    problem = clean(item["msg"])
    if kind in EXPECTED:
        problem = f"expected {EXPECTED[kind].format_map(item.get('ctx', {}))}, got {brief(item['input'])}"
    hint = "; put it in quotes" if kind == "string_type" and isinstance(item["input"], int | float) else ""
    return f"{problem}{hint} ({purpose})"
