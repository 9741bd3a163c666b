"""What a form says, as values: the request, and every reason why it cannot be launched yet.

Pure: no Textual, no file is touched. Imported when a form opens, as it brings the config models.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ValidationError

from engine.contract.config import BlendConfig, Config, EvaluateOptions, TrainConfig
from engine.contract.load import field_errors
from engine.contract.names import CHECKPOINTS, PREDICTIONS
from xray_tui.forms.fields import Section, Values, differences, nest
from xray_tui.jobs.launch.launcher import run_problem
from xray_tui.jobs.model.request import BlendRequest, EvaluateRequest, Request, TrainRequest

Kind = Literal["train", "evaluate", "blend"]
MODELS: dict[Kind, type[BaseModel]] = {"train": TrainConfig, "evaluate": EvaluateOptions, "blend": BlendConfig}
PATH_KEYS = frozenset({"data.manifest", "model.encoder_weights", "training.init_from", "presence_run"})
LONGEST_RUN = 200


@dataclass(frozen=True, slots=True)
class Draft:
    """What stands in the form: `run` as a name below `runs`, `members` likewise or as paths, `config` what `values`
    started from (`base`)."""

    kind: Kind
    runs: Path
    run: str
    values: Values
    base: Values
    config: Path | None = None
    members: tuple[str, ...] = ()
    model: type[BaseModel] | None = None
    """Of the config that it started from; None: the kind's own."""


@dataclass(frozen=True, slots=True)
class Checked:
    """The request of the form; `problems` (key -> what is wrong) must be empty to launch."""

    request: Request
    problems: Mapping[str, str] = field(default_factory=dict)
    changed: frozenset[str] = frozenset()


def check(draft: Draft, schema: Section, taken: Mapping[str, str], cwd: Path) -> Checked:
    """The request that the draft stands for, with its problems by the key of the field that they belong to."""
    changes = differences(schema, draft.base, draft.values)
    problems = model_problems(draft, schema)
    if draft.kind == "evaluate":
        if not draft.run:
            problems["run"] = "no run is chosen; one with checkpoints/best.pt is right"
    else:
        if problem := run_name_problem(draft.run, taken):
            problems["run"] = problem
        least = 1 if draft.values.get("presence_run") else 2
        if draft.kind == "blend" and len(draft.members) < least:
            more = "one or more are right" if least == 1 else "two or more are right"
            problems["members"] = f"{len(draft.members)} chosen; {more}"
    return Checked(request_for(draft, changes, cwd), problems, frozenset(key for key, _ in changes))


def request_for(draft: Draft, changes: Iterable[tuple[str, Any]], cwd: Path) -> Request:
    """The request of a draft with these changes to its base."""
    runs = path_argument(draft.runs, cwd)
    if draft.kind == "evaluate":
        choices = {key: value for key, value in draft.values.items() if key != "run"}
        words = {key: str(choices[key]) for key in ("tta", "threshold", "gate")}
        return EvaluateRequest(runs=runs, **choices | words)
    config = path_argument(draft.config, cwd) if draft.config else None
    if draft.kind == "train":
        return TrainRequest(runs=runs, config=config, overrides=overrides(changes))
    members = tuple(path_argument(draft.runs / member, cwd) for member in draft.members)
    rest = [(key, value) for key, value in changes if key not in ("members", "tta")]
    return BlendRequest(runs=runs, members=members, tta=draft.values["tta"], config=config, overrides=overrides(rest))


def overrides(changes: Iterable[tuple[str, Any]]) -> tuple[str, ...]:
    """`key=value` for each change, in the YAML that the engine reads back to the same value."""
    return tuple(f"{key}={yaml_text(value)}" for key, value in changes)


def yaml_text(value: Any) -> str:
    """The value on one line of YAML, as plain as it can be: `3`, `[128, 64]`, `1.0e-05`, nothing for None."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple | list):
        text = f"[{', '.join(map(yaml_text, value))}]"
    elif isinstance(value, float):
        text = repr(value)
        # YAML 1.1 takes 1e-05 for a word; it wants the point.
        text = text.replace("e", ".0e") if "e" in text and "." not in text else text
    else:
        text = str(value)
    try:
        back = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError):
        back = None
    plain = list(value) if isinstance(value, tuple) else value
    return text if back == plain and type(back) is type(plain) else _quoted(plain)


def _quoted(value: Any) -> str:
    """JSON, which is YAML as well, but for characters that YAML wants escaped."""
    text = json.dumps(value, ensure_ascii=False)
    return "".join(char if char.isprintable() else f"\\U{ord(char):08x}" for char in text)


def path_argument(path: Path, cwd: Path) -> str:
    """The path relative to the working directory where it lies inside, else absolute; never like an option."""
    absolute = Path(os.path.normpath(cwd / path))
    text = str(absolute.relative_to(cwd)) if absolute.is_relative_to(cwd) else str(absolute)
    return f"./{text}" if text.startswith("-") else text


def run_name_problem(name: str, taken: Mapping[str, str]) -> str | None:
    """What is wrong with the name of a new run, in words. `taken` says of names why they cannot be had."""
    if (problem := run_problem(name)) is not None:
        return problem
    if name != name.strip() or len(name) > LONGEST_RUN:
        return f"has blanks at an end or is too long; expected up to {LONGEST_RUN} characters"
    path = PurePosixPath(name)
    if {CHECKPOINTS, PREDICTIONS} & {*path.parts}:
        return f"the board does not look into {CHECKPOINTS} or {PREDICTIONS}; expected another name"
    if str(path) in taken:
        return f"{taken[str(path)]}; {free_name(str(path), taken)} is free"
    return None


def free_name(name: str, taken: Collection[str]) -> str:
    """The name, or the first of name_2, name_3 … that is not taken."""
    if name not in taken:
        return name
    number = 2
    while f"{name}_{number}" in taken:
        number += 1
    return f"{name}_{number}"


def model_problems(draft: Draft, schema: Section) -> dict[str, str]:
    """The model's own objections, in words, by the key of the field; several at one field on one line."""
    keys = {field.key: field.description for field in schema.walk()}
    try:
        to_model(draft, schema)
    except ValidationError as error:
        found: dict[str, list[str]] = {}
        for dotted, problem in field_errors(error, type_of(draft)):
            key = _field_of(dotted, keys)
            found.setdefault(key, []).append(_in_few_words(problem.removesuffix(f" ({keys.get(key)})")))
        return {key: "; ".join(dict.fromkeys(lines)) for key, lines in found.items()}
    return {}


def to_model(draft: Draft, schema: Section) -> BaseModel:
    """The draft as its config model. Raises ValidationError."""
    tree = nest(schema, draft.values)
    if draft.kind == "evaluate":
        tree["run"] = draft.run or "."
    elif draft.kind == "blend":
        tree["members"] = tuple(str(draft.runs / member) for member in draft.members)
    return type_of(draft).model_validate(tree)


def to_config(draft: Draft, schema: Section, cwd: Path) -> Config:
    """The draft as a config to save. It is named by its file, unless a name was typed: the run's of which it was made
    would send the next training there. Raises ValidationError."""
    values = dict(draft.values)
    if values.get("name") == draft.base.get("name"):
        values["name"] = None
    for key in PATH_KEYS - {"data.manifest"}:
        if (path := values.get(key)) and "/" in path:
            values[key] = str(cwd / path)
    config = to_model(replace(draft, values=values, config=None), schema)
    assert isinstance(config, Config)
    return config


def type_of(draft: Draft) -> type[BaseModel]:
    """The config model of the draft."""
    return draft.model or MODELS[draft.kind]


def _in_few_words(problem: str) -> str:
    """pydantic's sentence without what the form's own row says already."""
    words = re.sub(r", unable to parse string as an? \w+|Input (?=should)", "", problem)
    return words.replace("'': ", "empty: ", 1) if words.startswith("'': ") else words


def _field_of(dotted: str, keys: Collection[str]) -> str:
    """`model.decoder_channels.0` belongs to the field `model.decoder_channels`."""
    parts = dotted.split(".")
    candidates = (".".join(parts[:length]) for length in range(len(parts), 0, -1))
    return next((key for key in candidates if key in keys), dotted)
