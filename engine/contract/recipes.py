"""Recipes: YAML configs in ./configs, beside the runs folder, and in the installed package.

A recipe may name another file in its folder as `base: FILE.yaml`. It inherits all keys of that file and overrides them
one by one, also within sections. A base cannot have a base itself. `about:` describes the recipe in lists of recipes
and is not part of the config.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.contract.errors import BadInput
from engine.contract.text import brief, clean
from engine.contract.yaml_file import read_mapping

CONFIGS = "configs"

TAKES: dict[str, tuple[str, ...]] = {"train": ("train", "classifier", "nnunet"), "blend": ("blend",)}
"""Kinds of config that each command of the engine takes."""

KINDS = tuple(kind for kinds in TAKES.values() for kind in kinds)

BASE, ABOUT = "base", "about"

Read = Callable[[Path], dict[str, Any]]
"""Reads the mapping in one file, like `read_mapping`."""


def check_kind(command: str, config_kind: str, path: Path | str) -> None:
    """Raises BadInput if the command does not take configs of this kind."""
    if config_kind not in TAKES[command]:
        expected = " or ".join(f"kind: {kind}" for kind in TAKES[command])
        raise BadInput(f"{clean(str(path))}: kind: {config_kind}; {command} needs {expected}")


def kind_of(values: Mapping[str, Any], path: Path) -> str:
    """The kind of a config; train if it has no kind. Raises BadInput for an unknown kind."""
    kind = values.get("kind", "train")
    if not isinstance(kind, str) or kind not in KINDS:
        raise BadInput(f"{clean(str(path))}: kind: {brief(kind)} is unknown; give one of {', '.join(KINDS)}")
    return kind


@dataclass(frozen=True, slots=True)
class Recipe:
    """One config file as shown in lists. `problem` says why it cannot be used."""

    name: str
    path: Path
    kind: str
    description: str
    problem: str | None = None
    facts: str = ""
    """The network's size, its requirements, and the original system's result on its board, if they are given."""


def recipe_folders(runs: Path | None = None) -> list[Path]:
    """Folders with recipes, the nearest first."""
    package = Path(__file__).resolve().parents[1]
    candidates = [Path(CONFIGS), *([runs.absolute().parent / CONFIGS] if runs else [])]
    candidates += [package / CONFIGS, package.parent / CONFIGS]
    unique = {folder.resolve(): folder for folder in reversed(candidates) if folder.is_dir()}
    return sorted(unique.values(), key=candidates.index)


def recipe_path(config: str, runs: Path | None = None) -> str:
    """The path of the recipe with this name; `config` itself if it is a path, or if there is no such recipe."""
    if "/" in config or os.path.lexists(config):
        return config
    paths = (folder / f"{config.removesuffix('.yaml')}.yaml" for folder in recipe_folders(runs))
    return str(next((path for path in paths if path.is_file()), config))


def find_recipes(folders: Iterable[Path]) -> list[Recipe]:
    """The recipes (`*.yaml`) in the folders, sorted by name. Of files with the same name, the one in the first folder
    counts. Files whose names begin with `_` are only bases of others."""
    recipes: dict[str, Recipe] = {}
    for folder in folders:
        for path in sorted(folder.glob("[!_]*.yaml")):
            recipes.setdefault(path.stem, _read(path))
    return sorted(recipes.values(), key=lambda recipe: recipe.name)


def _read(path: Path) -> Recipe:
    name = clean(path.stem)
    try:
        values = read_recipe(path)
        kind = kind_of(values, path)
    except BadInput as error:
        return Recipe(name, path, "?", "", error.lines[0])
    about = values.get(ABOUT)
    facts: list[str] = []
    if isinstance(about, dict):
        if isinstance(size := about.get("parameters"), int | float):  # in millions
            facts.append(f"{size:g} M parameters, {size * 4:.0f} MB")
        facts += [
            f"{word} {clean(str(about[key]))}" for key, word in (("needs", "needs"), ("board", "got")) if about.get(key)
        ]
    return Recipe(name, path, kind, clean(str(values.get("description", ""))), facts="; ".join(facts))


def read_recipe(path: Path, read: Read = read_mapping) -> dict[str, Any]:
    """The mapping in a recipe file merged with its base, including `about`. Raises BadInput with a one-line message."""
    values = read(path)
    if (base := values.pop(BASE, None)) is None:
        return values
    name = clean(str(path))
    if not isinstance(base, str) or Path(base).name != base or base in ("", ".", ".."):
        raise BadInput(f"{name}: base: {brief(base)}; expected the name of a file beside it, such as other.yaml")
    try:
        below = read(path.with_name(base))
    except BadInput as error:
        raise BadInput(f"{name}: base: {error}") from None
    if BASE in below:
        raise BadInput(f"{name}: base: {clean(base)} has a base itself; a base must have none")
    return merged(below, values)


def merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Merge two mappings, including nested ones. If both have a key, `above` wins.

    >>> merged({"a": 1, "b": {"c": 2, "d": 3}}, {"b": {"d": 4}})
    {'a': 1, 'b': {'c': 2, 'd': 4}}
    """
    both = dict(below)
    for key, value in above.items():
        inner = both.get(key)
        both[key] = merged(inner, value) if isinstance(inner, dict) and isinstance(value, dict) else value
    return both
