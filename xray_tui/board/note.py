"""Reads the YAML files of a runs folder, and the reason why a note.yaml sets its run aside."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from engine.contract.errors import BadInput
from engine.contract.text import brief, clean
from engine.contract.yaml_file import parse_mapping
from xray_tui.system.safe_files import LARGEST, read_small

KEYS = ("note", "tags", "set_aside")


def read_set_aside(path: Path, name: str) -> tuple[str | None, tuple[str, ...]]:
    """The reason why a note.yaml excludes its run from the ranking, or None, and one line per problem of the file."""
    values, problems = read_yaml(path, name)
    unknown = [clean(key) for key in values if key not in KEYS]
    problems += tuple(f"{clean(name)}: {key}: unknown key; known keys: {', '.join(KEYS)}; ignored" for key in unknown)
    reason = values.get("set_aside")
    if reason is None or reason is False or reason == "":
        return None, problems
    if not isinstance(reason, str):
        return "set aside by its note", problems
    return f"set aside by its note: {clean(reason.strip())[:300]}", problems


def read_yaml(path: Path, name: str) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The mapping in a file, and one line per problem, each of which begins with `name`."""
    try:
        data = read_small(path)
        if len(data) <= LARGEST:
            values = parse_mapping(data.decode(), clean(name))
            return {key if isinstance(key, str) else brief(key): value for key, value in values.items()}, ()
        problem = f"larger than {LARGEST >> 20} MiB"
    except OSError as error:
        problem = f"cannot be read: {error.strerror or error}"
    except UnicodeDecodeError:
        problem = "not UTF-8 text"
    except BadInput as error:
        return {}, tuple(f"{line}; ignored" for line in error.lines)
    return {}, (f"{clean(name)}: {problem}; ignored",)
