"""Reads board.yaml and reports each problem as one line. The only module of the board that imports pydantic."""

from __future__ import annotations

from collections import Counter
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from engine.contract.metrics import METRICS
from engine.contract.names import BOARD
from engine.contract.text import LONGEST_BRIEF, brief, clean
from xray_tui.board.note import read_yaml
from xray_tui.board.rules import INSIGHTS, LARGEST_COUNT, Reference, Rules

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
    "model_type": "a mapping",
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


T = TypeVar("T")
Limit = Field(max_length=1000)
Entries = Annotated[tuple[T, ...], Limit]
Text = Annotated[str, Field(min_length=1, max_length=200)]
Texts = Entries[Text]
Remark = Annotated[str, Field(max_length=2000)]
MetricName = Annotated[Text, AfterValidator(metric_name)]
Names = Annotated[Texts, BeforeValidator(lambda value: [value] if isinstance(value, str) else value)]
Count = Annotated[int, Field(strict=True, ge=0, le=LARGEST_COUNT)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _Reference(_Section):
    label: Text
    run: Text


class _Expect(_Section):
    num_samples: Count | None = None
    num_positive: Count | None = None


def _key(purpose: str, **limits: int) -> Any:
    return Field(None, description=purpose, **limits)  # type: ignore[call-overload]


class _Board(_Section):
    """The keys of board.yaml. `Rules` has the defaults."""

    title: Text | None = _key("title of the exported board")
    primary: MetricName | None = _key("the metric to rank by")
    reference: _Reference | None = _key("the run to compare the leader with: {label: nnUNet, run: path}")
    exclude: Texts | None = _key("words; artifacts with one of them in their path are unranked")
    artifacts: Texts | None = _key("globs of additional test artifacts")
    best_by: Literal["test", "val"] | None = _key("split that selects the best artifact of a run")
    resolution: Literal["native", "input"] | None = _key("resolution of the metrics to rank by")
    columns: Entries[MetricName] | None = _key("metrics to show as columns of the exports", min_length=1)
    insights: Entries[Literal[INSIGHTS]] | None = _key("the sentences of the analysis")  # type: ignore[valid-type]
    remarks: Entries[Remark] | None = _key("your own bullets, printed after the insights")
    aliases: Annotated[dict[MetricName, Names], Limit] | None = _key("other names of a metric in older artifacts")
    places: Texts | None = _key("dotted paths of blocks with metrics in older artifacts")
    data_fingerprint: Text | None = _key("the expected data fingerprint of artifacts")
    expect: _Expect | None = _key("the expected counts: {num_samples: 613, num_positive: 108}")


def read_rules(path: Path) -> tuple[Rules, tuple[str, ...]]:
    """The rules in a board.yaml, and one line per problem. Invalid fields keep their default.

    Without `columns`, the primary metric becomes the first column."""
    values, problems = read_yaml(path, BOARD)
    try:
        board = _Board.model_validate(values)
    except ValidationError as error:
        problems = (*problems, *_lines(error))
        invalid = {item["loc"][0] for item in error.errors(include_url=False)}
        board = _Board.model_validate({key: value for key, value in values.items() if key not in invalid})
    settings: dict[str, Any] = {key: value for key, value in board if value is not None}
    if board.primary and not board.columns:
        settings["columns"] = (board.primary, *Rules.columns)
    if "columns" in settings:
        settings["columns"] = tuple(dict.fromkeys(settings["columns"]))
    if board.reference:
        settings["reference"] = Reference(board.reference.label, board.reference.run)
    if board.expect:
        settings["expect"] = board.expect.model_dump(exclude_none=True)
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
        model = _Board if len(parts) == 1 else _Reference if key == "reference" else _Expect
        close = get_close_matches(parts[-1][:LONGEST_BRIEF], model.model_fields, n=1)
        known = ", ".join(model.model_fields)
        return f"unknown key; did you mean {close[0]}?" if close else f"unknown key; known keys: {known}"
    purpose = _Board.model_fields[key].description
    if kind == "missing":
        return f"is missing ({purpose})"
    problem = clean(item["msg"])
    if kind in EXPECTED:
        problem = f"expected {EXPECTED[kind].format_map(item.get('ctx', {}))}, got {brief(item['input'])}"
    hint = "; put it in quotes" if kind == "string_type" and isinstance(item["input"], int | float) else ""
    return f"{problem}{hint} ({purpose})"
