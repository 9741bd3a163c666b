"""A recipe's file: YAML that may be based on one other file beside it, and may say something about itself.

`base: FILE.yaml` takes all keys of that file, one level: a base has no base of its own. What the recipe says replaces
what the base says, key by key in sections. `about:` is for lists alone and is no part of the config.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from engine.contract.errors import BadInput
from engine.contract.text import brief, clean
from engine.contract.yaml_file import read_mapping

BASE, ABOUT = "base", "about"

Read = Callable[[Path], dict[str, Any]]
"""Reads the mapping in one file, as `read_mapping` does."""


def read_recipe(path: Path, read: Read = read_mapping) -> dict[str, Any]:
    """The mapping in a recipe's file with its base's keys, `about` included. Raises BadInput in one line."""
    values = read(path)
    if (base := values.pop(BASE, None)) is None:
        return values
    name = clean(str(path))
    if not isinstance(base, str) or Path(base).name != base or base in ("", ".", ".."):
        raise BadInput(f"{name}: base: {brief(base)}; the name of a file beside it is right, as other.yaml")
    try:
        below = read(path.with_name(base))
    except BadInput as error:
        raise BadInput(f"{name}: base: {error}") from None
    if BASE in below:
        raise BadInput(f"{name}: base: {clean(base)} has a base itself; one level is right")
    return merged(below, values)


def merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Both mappings as one; where both have a key, `above` counts, in mappings of mappings too.

    >>> merged({"a": 1, "b": {"c": 2, "d": 3}}, {"b": {"d": 4}})
    {'a': 1, 'b': {'c': 2, 'd': 4}}
    """
    both = dict(below)
    for key, value in above.items():
        inner = both.get(key)
        both[key] = merged(inner, value) if isinstance(inner, dict) and isinstance(value, dict) else value
    return both
