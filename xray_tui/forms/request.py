"""Turns the values of a form into a launch request and its problems.

Pure functions without Textual or file access. Imported only when a form opens, because it imports the config models.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import chain, count
from pathlib import Path, PurePosixPath
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from engine.contract.config import BlendConfig, Config, EvaluateOptions, TrainConfig
from engine.contract.load import apply_overrides, field_errors
from engine.contract.names import CHECKPOINTS, PREDICTIONS
from xray_tui.forms.context import Kind
from xray_tui.forms.fields import Section, Values, differences, nest
from xray_tui.jobs.launch.check_spec import run_problem
from xray_tui.jobs.model.request import BlendRequest, EvaluateRequest, TrainRequest

MODELS: dict[Kind, type[BaseModel]] = {"train": TrainConfig, "evaluate": EvaluateOptions, "blend": BlendConfig}
PATH_KEYS = frozenset({"data.manifest", "model.encoder_weights", "training.init_from", "presence_run"})
LONGEST_RUN = 200


@dataclass(frozen=True, slots=True)
class Filling:
    """The fields and values of a base config; the fields depend on its network.

    `members` are the members of a blend, as names below the runs folder if they are inside it, otherwise as paths.
    """

    model: type[BaseModel]
    schema: Section
    values: Values
    members: tuple[str, ...] = ()
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Draft:
    """The content of a form: `values` replace those of `base`, which come from the file `config`.

    `run` is a name below `runs`; `members` are names below `runs` or paths.
    """

    kind: Kind
    runs: Path
    run: str
    values: Values
    base: Filling
    config: Path | None = None
    members: tuple[str, ...] = ()

    @property
    def changes(self) -> list[tuple[str, Any]]:
        """The (key, value) changes to the base."""
        return differences(self.base.schema, self.base.values, self.values)


def problems_of(draft: Draft, taken: Mapping[str, str]) -> dict[str, str]:
    """The problems of a draft, as {field key: message}. `taken` maps unavailable run names to the reason."""
    problems = model_problems(draft)
    if draft.kind == "evaluate":
        if not draft.run:
            problems["run"] = "no run; expected a run with checkpoints/best.pt"
    elif problem := run_name_problem(draft.run, taken):
        problems["run"] = problem
    least = 1 if draft.values.get("presence_run") else 2
    if draft.kind == "blend" and len(draft.members) < least:
        problems["members"] = f"choose at least {'one member' if least == 1 else 'two members'}"
    return problems


def request_for(draft: Draft, cwd: Path) -> TrainRequest | EvaluateRequest | BlendRequest:
    """The request of a draft, with only the changes to its base."""
    runs = path_argument(draft.runs, cwd)
    if draft.kind == "evaluate":
        choices = {key: value for key, value in draft.values.items() if key != "run"}
        words = {key: str(choices[key]) for key in ("tta", "threshold", "gate")}
        return EvaluateRequest(runs=runs, **choices | words)
    config = path_argument(draft.config, cwd) if draft.config else None
    if draft.kind == "train":
        return TrainRequest(runs=runs, config=config, overrides=overrides(draft.changes))
    members = tuple(path_argument(draft.runs / member, cwd) for member in draft.members)
    rest = [(key, value) for key, value in draft.changes if key not in ("members", "tta")]
    return BlendRequest(runs=runs, members=members, tta=draft.values["tta"], config=config, overrides=overrides(rest))


def overrides(changes: Iterable[tuple[str, Any]]) -> tuple[str, ...]:
    """`key=value` for each change, in YAML that the engine parses to the same value."""
    return tuple(f"{key}={yaml_text(value)}" for key, value in changes)


def yaml_text(value: Any) -> str:
    """The value on one line of YAML: `3`, `[128, 64]`, `1.0e-05`. Empty for None; quoted only if necessary."""
    if value is None:
        return ""
    if isinstance(value, str):
        with suppress(yaml.YAMLError, ValueError):
            if yaml.safe_load(value) == value:
                return value
        text = json.dumps(value, ensure_ascii=False)  # valid YAML once its unprintable characters are escaped
        return "".join(char if char.isprintable() else f"\\U{ord(char):08x}" for char in text)
    plain = list(value) if isinstance(value, tuple) else value
    text = yaml.safe_dump(plain, default_flow_style=True, width=math.inf, allow_unicode=True)
    if not all(char.isprintable() for char in text.replace("\n", "")):
        text = yaml.safe_dump(plain, default_flow_style=True, width=math.inf)  # escapes line breaks such as U+0085
    return text.removesuffix("\n").removesuffix("\n...")


def path_argument(path: Path, cwd: Path) -> str:
    """The path relative to `cwd` if it is inside `cwd`, otherwise absolute; never starts with a dash."""
    absolute = Path(os.path.normpath(cwd / path))
    text = str(absolute.relative_to(cwd)) if absolute.is_relative_to(cwd) else str(absolute)
    return f"./{text}" if text.startswith("-") else text


def run_name_problem(name: str, taken: Mapping[str, str]) -> str | None:
    """The problem with the name of a new run. `taken` maps unavailable names to the reason."""
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
    names = chain([name], (f"{name}_{number}" for number in count(2)))
    return next(free for free in names if free not in taken)


def model_problems(draft: Draft) -> dict[str, str]:
    """The validation errors of the model, as {field key: all its errors on one line}."""
    descriptions = {field.key: field.description for field in draft.base.schema.walk()}
    problems: dict[str, list[str]] = {}
    try:
        to_model(draft)
    except ValidationError as error:
        for dotted, problem in field_errors(error, draft.base.model):
            key = _field_of(dotted, descriptions)
            message = _in_few_words(problem.removesuffix(f" ({descriptions.get(key)})"))
            problems.setdefault(key, []).append(message)
    return {key: "; ".join(dict.fromkeys(messages)) for key, messages in problems.items()}


def to_model(draft: Draft, changes: Sequence[str] = ()) -> BaseModel:
    """The draft with `key=value` changes as its config model. Raises ValidationError."""
    tree = nest(draft.base.schema, draft.values)
    if draft.kind == "evaluate":
        tree["run"] = draft.run or "."
    elif draft.kind == "blend":
        tree["members"] = tuple(str(draft.runs / member) for member in draft.members)
    apply_overrides(tree, changes)
    return draft.base.model.model_validate(tree)


def to_config(draft: Draft, cwd: Path) -> Config:
    """The draft as a config to save. Raises ValidationError.

    The config keeps a name only if it was typed; with the base run's name, the next training would go to that run.
    """
    values = dict(draft.values)
    if values.get("name") == draft.base.values.get("name"):
        values["name"] = None
    for key in PATH_KEYS - {"data.manifest"}:
        if (path := values.get(key)) and "/" in path:
            values[key] = str(cwd / path)
    config = to_model(replace(draft, values=values))
    assert isinstance(config, Config)
    return config


def _in_few_words(problem: str) -> str:
    """pydantic's message without the parts that the row of the form already shows."""
    message = re.sub(r", unable to parse string as an? \w+|Input (?=should)", "", problem)
    return message.replace("'': ", "empty: ", 1) if message.startswith("'': ") else message


def _field_of(dotted: str, keys: Collection[str]) -> str:
    """The key of a validation error's field: `model.decoder_channels` for `model.decoder_channels.0`."""
    parts = dotted.split(".")
    candidates = (".".join(parts[:length]) for length in range(len(parts), 0, -1))
    return next((key for key in candidates if key in keys), dotted)
