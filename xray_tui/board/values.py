"""The values of a row by key: metrics, facts about its artifact, and all of its run's config.yaml and note.yaml."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from engine.contract.errors import BadInput
from engine.contract.names import CONFIG, NOTE
from engine.contract.text import clean
from xray_tui.board.model import Row
from xray_tui.board.rules import Rules

Scalar = str | float
Lookup = Callable[[Row], tuple[Scalar, ...]]
RunValues = Mapping[str, tuple[Scalar, ...]]
"""Maps dotted keys in lower case, such as `training.lr`, to their values; a list has several."""

_OWN: Mapping[str, Callable[[Row], Scalar | None]] = {
    "run": lambda row: row.run,
    "path": lambda row: row.artifact.path,
    "rank": lambda row: float(row.rank),
    "tta": lambda row: row.artifact.tta,
    "threshold": lambda row: row.artifact.threshold,
    "threshold_source": lambda row: row.artifact.threshold_source,
    "num_samples": lambda row: _float(row.artifact.num_samples),
    "num_positive": lambda row: _float(row.artifact.num_positive),
    "candidates": lambda row: float(row.candidates),
}
_VALIDATION = "val."


class Values:
    """The values of the rows of one board. `files` holds the values of config.yaml and note.yaml by run, if read."""

    def __init__(self, rules: Rules, files: Mapping[str, RunValues] | None = None) -> None:
        self._rules = rules
        self._files = files or {}
        self._file_keys = sorted({key for values in self._files.values() for key in values})

    def needs_files(self, key: str) -> bool:
        """Whether the key can only be found in the files of the runs."""
        word = key.lower()
        return not (word in _OWN or word in self._rules.meanings or word.startswith(_VALIDATION))

    def keys(self, rows: Iterable[Row]) -> list[str]:
        """All keys that have a value in one of the rows, sorted."""
        metrics = {name for row in rows for name in row.figures}
        validation = {f"{_VALIDATION}{name}" for row in rows for name in row.artifact.validation}
        return sorted({*_OWN, *metrics, *validation, *self._file_keys})

    def check(self, keys: Iterable[str], rows: Sequence[Row]) -> None:
        """Raise BadInput with a line for each key that has no value in any of the rows. Without rows, do nothing."""
        missing = [key for key in keys if rows and not any(map(self.lookup(key), rows))]
        if missing:
            known = self.keys(rows)
            hints = {key: get_close_matches(key.lower(), known, n=1) or known[:6] for key in missing}
            raise BadInput(
                f"{clean(key)}: no run has this key; near: {clean(', '.join(hints[key]))}" for key in missing
            )

    def lookup(self, key: str) -> Lookup:
        """A function that returns the values of the key for a row; empty if there are none.

        The end of a dotted key is enough: `encoder` finds `model.encoder`.
        """
        word = key.lower()
        if (own := _OWN.get(word)) is not None:
            return lambda row: _tuple(own(row))
        if word in self._rules.meanings:
            name = self._rules.meanings[word][0]
            return lambda row: _tuple(row.figures.get(name))
        if word.startswith(_VALIDATION):
            word = word.removeprefix(_VALIDATION)
            name = self._rules.meanings.get(word, (word, 0))[0]
            return lambda row: _tuple(row.artifact.validation.get(name))
        keys = [known for known in self._file_keys if known == word]
        keys = keys or [known for known in self._file_keys if known.endswith(f".{word}")]

        def values(row: Row) -> tuple[Scalar, ...]:
            known = self._files.get(row.run, {})
            found = next((known[name] for name in keys if name in known), None)
            return _tuple(row.figures.get(key)) if found is None else found

        return values


def _tuple(value: Scalar | None) -> tuple[Scalar, ...]:
    return () if value is None else (value,)


def _float(value: int | None) -> float | None:
    return None if value is None else float(value)


def read_values(runs: Path, run: str) -> RunValues:
    """The values in a run's config.yaml and note.yaml. A file that is missing or cannot be read has none."""
    from engine.contract.yaml_file import read_mapping  # late: YAML is needed only if a config key is asked for

    values: dict[str, tuple[Scalar, ...]] = {}
    for name in (CONFIG, NOTE):
        try:
            mapping = read_mapping(runs / run / name)
        except BadInput:
            continue
        if name == NOTE:
            mapping["tag"] = mapping.pop("tags", None)
        for key, value in _leaves(mapping):
            values[key] = (*values.get(key, ()), *_tuple(value))
    return {key: value for key, value in values.items() if value}


def _leaves(value: Any, key: str = "") -> Iterator[tuple[str, Scalar | None]]:
    """Each dotted key with its value; a list of scalars yields its key several times."""
    if isinstance(value, dict):
        for name, entry in value.items():
            yield from _leaves(entry, f"{key}.{name}".lstrip(".").lower())
    elif isinstance(value, list):
        for entry in value:
            yield from _leaves(entry, key)
    elif isinstance(value, bool):
        yield key, str(value).lower()
    elif isinstance(value, int | float):
        yield key, float(value)
    elif value is not None:
        yield key, str(value)
