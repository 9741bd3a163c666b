"""Reads the YAML files of a runs folder, and the reason in a note.yaml that sets its run aside."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

from engine.contract.errors import BadInput
from engine.contract.text import brief, clean
from engine.contract.yaml_file import read_mapping


def read_set_aside(path: Path, name: str) -> tuple[str | None, tuple[str, ...]]:
    """The reason why a note.yaml excludes its run from the ranking, or None, and one line per problem of the file."""
    values, problems = read_yaml(path, name)
    reason = values.get("set_aside")
    if reason is None or reason is False or reason == "":
        return None, problems
    if not isinstance(reason, str):
        return "set aside by its note", problems
    return f"set aside by its note: {clean(reason.strip())[:300]}", problems


def read_yaml(path: Path, name: str) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The mapping in a file, and one line per problem that begins with `name`."""
    try:
        regular = stat.S_ISREG(path.stat().st_mode)
    except FileNotFoundError:  # a broken link
        regular = False
    except OSError as error:  # a link to itself or into a folder without access
        return {}, (f"{clean(name)}: cannot be read: {error.strerror or error}; ignored",)
    if not regular:  # reading a pipe would block
        return {}, (f"{clean(name)}: not a regular file; ignored",)
    try:
        values = read_mapping(path)
    except BadInput as error:
        return {}, tuple(line.replace(clean(str(path)), clean(name), 1) + "; ignored" for line in error.lines)
    return {key if isinstance(key, str) else brief(key): value for key, value in values.items()}, ()
