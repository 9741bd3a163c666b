"""Validation of small YAML files: a table of fields describes the valid values, and each flaw is one line.

It exists because the board appears only after board.yaml is read, and importing a validation library would take longer
than everything else before that. A check is a pure function from a value to its flaws.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from engine.contract.text import LONGEST_BRIEF, brief, clean

MOST_ENTRIES = 1000
"""Maximum number of entries of a list or a mapping."""
MOST_FLAWS = 10
"""Maximum number of flaws to report per field: a list of the wrong type has one per entry."""


@dataclass(frozen=True, slots=True)
class Flaw:
    """One error in a value."""

    where: tuple[str, ...]
    """The keys and list indices that lead to the value."""
    problem: str
    """The expected and the actual value."""
    meaning: str = ""
    """The purpose of the field that contains the value."""

    def __str__(self) -> str:
        place = ".".join(clean(part)[:LONGEST_BRIEF] for part in self.where)
        return f"{place}: {self.problem}{f' ({self.meaning})' if self.meaning else ''}"


Check = Callable[[Any], Iterator[Flaw]]


@dataclass(frozen=True, slots=True)
class Field:
    """An allowed key of a mapping."""

    check: Check
    meaning: str
    required: bool = False


def flaws_of(values: Mapping[Any, Any], fields: Mapping[str, Field]) -> Iterator[Flaw]:
    """The flaws in the values of a mapping. A null value counts as a missing key."""
    for key, value in values.items():
        name = key if isinstance(key, str) else brief(key)
        field = fields.get(name)
        if field is None:
            yield Flaw((name,), f"unknown key{_did_you_mean(name, fields)}")
        elif value is not None:
            for flaw in islice(field.check(value), MOST_FLAWS):
                yield replace(flaw, where=(name, *flaw.where), meaning=flaw.meaning or field.meaning)
    for name, field in fields.items():
        if field.required and values.get(name) is None:
            yield Flaw((name,), "is missing", field.meaning)


def text(shortest: int = 1, longest: int = 200) -> Check:
    """A text of `shortest` to `longest` characters."""

    def check(value: Any) -> Iterator[Flaw]:
        if not isinstance(value, str):
            hint = "; put it in quotes" if isinstance(value, int | float) else ""
            yield Flaw((), f"expected text, got {brief(value)}{hint}")
        elif not shortest <= len(value) <= longest:
            yield Flaw((), f"expected text of {shortest} to {longest} characters, got {brief(value)}")

    return check


def one_of(*words: str) -> Check:
    """One of these words."""

    def check(value: Any) -> Iterator[Flaw]:
        if not isinstance(value, str) or value not in words:
            yield Flaw((), f"expected {' or '.join(map(repr, words))}, got {brief(value)}")

    return check


def whole_number(least: int, most: int) -> Check:
    """A whole number from `least` to `most`."""

    def check(value: Any) -> Iterator[Flaw]:
        if type(value) is not int or not least <= value <= most:  # isinstance would accept true
            yield Flaw((), f"expected a whole number from {least} to {most}, got {brief(value)}")

    return check


def list_of(item: Check, least: int = 0) -> Check:
    """A list with `least` entries or more."""

    def check(value: Any) -> Iterator[Flaw]:
        if not isinstance(value, list):
            yield Flaw((), f"expected a list, got {brief(value)}")
        elif not least <= len(value) <= MOST_ENTRIES:
            yield Flaw((), f"expected a list of {least} to {MOST_ENTRIES} entries, got {brief(value)}")
        else:
            for index, entry in enumerate(value):
                for flaw in item(entry):
                    yield replace(flaw, where=(str(index), *flaw.where))

    return check


def one_or_list_of(item: Check) -> Check:
    """A list, or a single entry without a list."""
    items = list_of(item)
    return lambda value: items(value) if isinstance(value, list) else item(value)


def mapping_of(item: Check) -> Check:
    """A mapping from arbitrary text to values of one kind."""
    check_key = text()

    def check(value: Any) -> Iterator[Flaw]:
        if not isinstance(value, dict):
            yield Flaw((), f"expected a mapping, got {brief(value)}")
        elif len(value) > MOST_ENTRIES:
            yield Flaw((), f"expected a mapping of at most {MOST_ENTRIES} entries, got {brief(value)}")
        else:
            for key, entry in value.items():
                yield from check_key(key)
                for flaw in item(entry):
                    yield replace(flaw, where=(brief(key).strip("'"), *flaw.where))

    return check


def section(fields: Mapping[str, Field]) -> Check:
    """A mapping with these fields."""

    def check(value: Any) -> Iterator[Flaw]:
        if isinstance(value, dict):
            yield from flaws_of(value, fields)
        else:
            yield Flaw((), f"expected a mapping with {', '.join(fields)}, got {brief(value)}")

    return check


def _did_you_mean(name: str, fields: Mapping[str, Field]) -> str:
    from difflib import get_close_matches  # needed only after a mistake

    close = get_close_matches(name[:LONGEST_BRIEF], fields, n=1)
    return f"; did you mean {close[0]}?" if close else f"; known keys: {', '.join(fields)}"
