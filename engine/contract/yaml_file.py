"""Read YAML mappings without pydantic, for callers that need no model."""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from engine.contract.errors import BadInput
from engine.contract.text import clean

LARGEST_CONFIG = 1 << 20


class _Unique(yaml.SafeLoader):
    """A loader that rejects duplicate keys: YAML forbids them, but PyYAML would silently take the last value."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                if (key.tag, key.value) in seen:
                    raise yaml.constructor.ConstructorError(
                        problem=f"duplicate key {key.value}", problem_mark=key.start_mark
                    )
                seen.add((key.tag, key.value))
        return super().construct_mapping(node, deep)


def read_mapping(path: Path) -> dict[str, Any]:
    """The YAML mapping in a file. Raises BadInput with a one-line message for anything else."""
    name = clean(str(path))
    try:
        if path.stat().st_size > LARGEST_CONFIG:
            raise BadInput(f"{name}: larger than {LARGEST_CONFIG >> 20} MiB; a config is smaller")
        text = path.read_text("utf-8")
    except OSError as error:
        raise BadInput(f"{name}: {error.strerror or error}") from error
    except UnicodeDecodeError:
        raise BadInput(f"{name}: not UTF-8 text") from None
    return parse_mapping(text, name)


def parse_mapping(text: str, name: str) -> dict[str, Any]:
    """The YAML mapping in a text; error messages begin with `name`."""
    try:
        values = yaml.load(text, _Unique)  # noqa: S506 - a SafeLoader
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}" if mark else ""
        problem = clean(str(getattr(error, "problem", None) or error).split("\n")[0])
        raise BadInput(f"{name}: not YAML{where}: {problem}") from None
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise BadInput(f"{name}: expected a mapping of keys to values, got a {type(values).__name__}")
    return values
