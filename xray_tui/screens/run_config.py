"""The config of a run, and how it differs from the most similar recipe."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from engine.contract.errors import BadInput
from engine.contract.names import CONFIG
from engine.contract.recipes import find_recipes, recipe_folders
from engine.contract.text import clean

NAMES = ("name", "description")
"""Keys without effect on the run."""
UNSET = "not set"
LONGEST = 200
"""Maximum number of characters of a value to show."""


Section = tuple[str, list[str]]
"""A heading, and lines that are safe to show."""


def read_config(runs: Path, run: str) -> list[Section]:
    """The differences from the recipe, and the config itself; empty for a run without a config. Imports pydantic and
    takes tenths of a second, so call it in a thread."""
    from engine.contract.load import load_config

    def flat(path: Path) -> dict[str, str]:
        return dict(_flat(load_config(path).model_dump(mode="json")))

    if not (path := runs / run / CONFIG).is_file():
        return []
    try:
        config = flat(path)
    except (BadInput, OSError) as error:
        return [("Config", [clean(str(error))[:LONGEST]])]
    changes = []
    for recipe in find_recipes(recipe_folders(runs)):
        if recipe.kind == config.get("kind"):
            with suppress(BadInput, OSError):
                values = flat(recipe.path)
                other = values.get("description") != config.get("description")
                lines = [
                    f"{key}: {config.get(key, UNSET)} (recipe: {values.get(key, UNSET)})"
                    for key in dict.fromkeys((*config, *values))
                    if key not in NAMES and config.get(key, UNSET) != values.get(key, UNSET)
                ]
                changes.append((other, len(lines), recipe.name, lines or ["no difference"]))
    compared = [(f"Compared with the recipe {name}", lines) for _, _, name, lines in sorted(changes)[:1]]
    return [*compared, ("Config", [f"{key}: {value}" for key, value in config.items()])]


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Dotted keys with their values as text."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield clean(f"{prefix}{key}"), UNSET if value is None else clean(str(value))[:LONGEST]
