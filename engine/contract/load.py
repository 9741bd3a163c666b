"""Read configs: turn YAML and `--set` overrides into a validated model, or report all errors at once, each with the
file, the field and what was expected."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError

from engine.contract.errors import BadInput
from engine.contract.files import relative_to_file, write_whole
from engine.contract.models import SEGMENTERS, TAG
from engine.contract.names import CHECKPOINTS, CONFIG, EVENTS
from engine.contract.recipes import ABOUT, Read, kind_of, read_recipe
from engine.contract.text import brief, clean
from engine.contract.yaml_file import read_mapping

if TYPE_CHECKING:
    from engine.contract.config import Config
    from engine.contract.nnunet import NnunetConfig

Model = TypeVar("Model", bound=BaseModel)

FOLD = "{fold}"
"""Placeholder for data.fold in the path of training.init_from."""
_EVERY_KIND = frozenset({"kind", "name", "description", "seed"})
"""Keys that every resolved config has. A recipe lacks some of them."""


def load_config(path: Path, overrides: Sequence[str] = (), read: Read = read_mapping) -> Config:
    """The config in `path` with `key.sub=value` overrides applied and its paths made absolute.

    Paths in a recipe are relative to the file or, if nothing exists there, to the working directory. Paths in the
    config of a run are relative to the file, and paths in an override to the working directory. `read` reads each file;
    callers may pass one that caches. Raises BadInput with one line per error.
    """
    from engine.contract.config import KINDS

    values = read_recipe(path, read)
    if not values and yaml.compose(path.read_text("utf-8"), yaml.SafeLoader) is None:  # `{}` asks for the defaults
        raise BadInput(f"{clean(str(path))}: empty; expected a config, such as a copy of a recipe")
    values.pop(ABOUT, None)
    # The config of a run was written by save_config, or its folder holds a training.
    is_whole = values.keys() >= _EVERY_KIND or any((path.parent / name).exists() for name in (CHECKPOINTS, EVENTS))
    of_run = path.name == CONFIG and is_whole
    set_keys = apply_overrides(values, overrides)
    config = validate(KINDS[kind_of(values, path)], values, str(path))

    def absolute(key: str, text: str) -> str:
        if "\0" in text:
            raise BadInput(f"{clean(str(path))}: {key}: {clean(text)[:80]}: a path cannot contain a null byte")
        if key == "training.init_from" and FOLD in text:
            if (fold := config.data.fold) is None:  # type: ignore[union-attr]
                raise BadInput(
                    f"{clean(str(path))}: {key}: {FOLD} is replaced by data.fold, which is empty; give data.fold"
                )
            text = text.replace(FOLD, str(fold))
        beside = path.parent / text
        from_working_directory = key in set_keys or not (of_run or beside.exists())
        return str((Path(text) if from_working_directory else beside).resolve())

    return with_paths(config, absolute)


def load_nnunet_config(path: Path, overrides: Sequence[str] = ()) -> NnunetConfig:
    """The config in `path`, as load_config reads it. Raises BadInput, also for a config of another kind."""
    from engine.contract.nnunet import NnunetConfig

    config = load_config(path, overrides)
    if not isinstance(config, NnunetConfig):
        raise BadInput(f"{clean(str(path))}: kind: {config.kind}; nnunet needs kind: nnunet")
    return config


def problem_of(path: Path) -> str | None:
    """The first error in the config in `path`, or None. The files that it names are not checked."""
    try:
        load_config(path)
    except BadInput as error:
        return error.lines[0]
    return None


def save_config(config: Config, path: Path) -> None:
    """Write the resolved config atomically, with paths relative to the file."""
    moved = with_paths(
        config, lambda key, text: relative_to_file(Path(text), path) if Path(text).is_absolute() else text
    )
    values = moved.model_dump(mode="json")
    write_whole(path, yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=120))


def apply_overrides(values: dict[str, Any], overrides: Sequence[str]) -> frozenset[str]:
    """Apply `training.epochs=3` and the like in place; returns the dotted keys that were set."""
    keys = set()
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals or not key.strip():
            raise BadInput(f"--set {clean(override)}: give KEY=VALUE, for example training.epochs=3")
        *parents, last = key.strip().split(".")
        target = values
        for parent in parents:
            inner = target.get(parent)
            if not isinstance(inner, dict):
                inner = target[parent] = {}
            target = inner
        try:
            target[last] = yaml.safe_load(text) if text else None
        except (yaml.YAMLError, ValueError, RecursionError):  # text that only looks like YAML
            target[last] = text
        keys.add(key.strip())
    return frozenset(keys)


def validate(model: type[Model], values: dict[str, Any], name: str) -> Model:
    """The values as a model. Raises BadInput with one line per error: `file: field: what is wrong (what the field
    is)`."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        lines = (f"{clean(name)}: {field}: {problem}" for field, problem in field_errors(error, model))
        raise BadInput(dict.fromkeys(lines)) from None


def field_errors(error: ValidationError, model: type[BaseModel]) -> list[tuple[str, str]]:
    """(dotted field, message) of every error, for messages and for forms."""
    errors = []
    items = error.errors(include_url=False)
    unknown = [item["loc"][:-1] for item in items if item["type"] == "literal_error" and item["loc"][-1] == "arch"]
    for item in items:
        if item["loc"][-1:] != ("arch",) and any(item["loc"][: len(place)] == place for place in unknown):
            continue  # an unknown network has no known keys
        parts = [
            str(part) for part in item["loc"] if not str(part).startswith(("literal[", "constrained-", "function-"))
        ]
        dotted = clean(".".join(part for part in parts if not part.startswith(TAG))) or "config"
        section = _section(model, parts[:-1])
        fields = section.model_fields if section and parts else {}
        if item["type"] == "extra_forbidden":
            close = get_close_matches(parts[-1], fields, n=1)
            hint = f"did you mean {close[0]}?" if close else f"known here: {', '.join(fields)}"
            errors.append((dotted, f"unknown key; {hint}"))
            continue
        is_whole_section = isinstance(item["input"], dict | BaseModel)
        value = "" if item["type"] == "missing" or is_whole_section else f"{brief(item['input'])}: "
        message = item["msg"].removeprefix("Value error, ")  # pydantic's prefix for messages of our validators
        if item["type"] == "model_type":
            message = "expected keys with values, or leave it out"
        field = fields.get(parts[-1]) if parts else None
        meaning = f" ({field.description})" if field is not None and field.description else ""
        errors.append((dotted, f"{value}{clean(message)[:200]}{meaning}"))
    return errors


def _section(model: type[BaseModel], parents: Sequence[str]) -> type[BaseModel] | None:
    """The model reached by following `parents` from `model`, through optional sections; among several network models,
    the one that a tag in `parents` names. None if there is no such model."""
    section: type[BaseModel] | None = model
    for part in parents:
        if part.startswith(TAG):
            section = SEGMENTERS[part.removeprefix(TAG)]
            continue
        field = section.model_fields.get(part) if section is not None else None
        arms = (get_args(field.annotation) or (field.annotation,)) if field is not None else ()
        models = [get_args(arm)[0] if get_origin(arm) else arm for arm in arms]
        section = next((kind for kind in models if isinstance(kind, type) and issubclass(kind, BaseModel)), None)
    return section


Move = Callable[[str, str], str]
"""(dotted key, path) -> the path in its new form."""

_PATHS = ("data.manifest", "model.encoder_weights", "training.init_from", "presence_run")


def with_paths(config: Config, move: Move) -> Config:
    """The config with `move` applied to every path in it. Words such as `imagenet` are not paths."""
    update: dict[str, Any] = {}
    for key in _PATHS:
        first, _, last = key.partition(".")
        section = getattr(config, first, None)
        text = getattr(section, last, None) if last else section
        if not isinstance(text, str) or not (text and (last != "encoder_weights" or "/" in text or Path(text).suffix)):
            continue
        update[first] = section.model_copy(update={last: move(key, text)}) if last and section else move(key, text)
    members = getattr(config, "members", None)
    if members is not None:
        update["members"] = tuple(move("members", member) for member in members)
    return config.model_copy(update=update)
