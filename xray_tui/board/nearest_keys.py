"""Keys of an artifact that may hold the missing primary metric, and the line of board.yaml that maps the first."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from difflib import SequenceMatcher
from typing import Any

from engine.contract.text import clean
from xray_tui.board.rules import Rules

MOST = 3
"""Maximum number of keys to name."""
MOST_KEYS = 200
"""Maximum number of keys to compare."""
DEEPEST = 3
LONGEST = 80
"""Longest key, in characters, that is compared."""
SIMILAR = 0.75
"""Smallest similarity of a key to a name of the metric, 0 to 1; a key that contains the name has 1."""
OTHERS = frozenset(
    {"val", "valid", "validation", "train", "training", "input", "all", "intervals", "std", "loss", "selection"}
)
"""Words of keys that hold the metric of another split, resolution or baseline, or something else about it."""

Path = tuple[str, ...]


def nearest_keys(top: Mapping[str, Any], rules: Rules) -> str:
    """A text such as `; nearest key: test/dice_pos; board.yaml: aliases: {...}`, or nothing. top: the document."""
    names = [_plain(word) for word, (name, _) in rules.meanings.items() if name == rules.primary]
    scored = []
    for path in _number_paths(top, DEEPEST):
        key = _plain(path[-1])
        words = {word for part in path for word in _plain(part).split("_")}
        if words & OTHERS or rules.meanings.get(path[-1].lower(), (rules.primary, 0))[0] != rules.primary:
            continue
        score = max(1.0 if f"_{name}_" in f"_{key}_" else SequenceMatcher(None, name, key).ratio() for name in names)
        if score >= SIMILAR:
            scored.append((-score, len(path), path))
    if not scored:
        return ""
    nearest = [path for _, _, path in sorted(scored)[:MOST]]
    listed = ", ".join(clean(".".join(path)) for path in nearest)
    several = len(nearest) > 1
    text = f"; nearest key{'s' * several}: {listed}; to use {'the first' if several else 'it'}, put into board.yaml: "
    return text + _setting(nearest[0], rules)


def _setting(path: Path, rules: Rules) -> str:
    """The keys of board.yaml that map the metric at the path to the primary metric."""
    *block, key = path
    parts = []
    if rules.meanings.get(key.lower(), ("", 0))[0] != rules.primary:
        aliases = [*rules.aliases.get(rules.primary, ()), key]
        parts.append(f"aliases: {{{clean(rules.primary)}: {_yaml(aliases)}}}")
    place = ".".join(block)
    if block and tuple(part.lower() for part in block) not in rules.all_places:
        parts.append(f"places: {_yaml([*rules.places, place])}")
    return ", ".join(parts)


def _yaml(values: list[str]) -> str:
    return json.dumps([clean(value) for value in values], ensure_ascii=False)


def _plain(key: str) -> str:
    return re.sub(r"[\W_]+", "_", key.lower()).strip("_")


def _number_paths(top: Mapping[str, Any], deepest: int) -> Iterator[Path]:
    """Paths of the numbers in nested objects, at most MOST_KEYS. A block whose key has a dot cannot be mapped."""
    blocks: list[tuple[Path, Mapping[str, Any]]] = [((), top)]
    compared = 0
    for path, block in blocks:
        for key, value in block.items():
            compared += 1
            if compared > MOST_KEYS:
                return
            if len(key) > LONGEST:
                continue
            if type(value) in (int, float):
                yield (*path, key)
            elif isinstance(value, dict) and len(path) < deepest and "." not in key:
                blocks.append(((*path, key), value))
