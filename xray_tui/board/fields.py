"""What a value of a small YAML file may be, said as a table of fields, and every flaw as one line.

The board is shown as soon as board.yaml is read, and importing a validation library takes longer than all the rest of
that, so these few kinds of value are checked here. Pure functions: a check takes a value and gives its flaws.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from engine.contract.text import LONGEST_BRIEF, brief, clean

MOST_ENTRIES = 1000
"""Of a list or a mapping."""
MOST_FLAWS = 10
"""That are named of one field: a list that is wrong is wrong throughout."""


@dataclass(frozen=True, slots=True)
class Flaw:
    """Something that is wrong in a value."""

    where: tuple[str, ...]
    """The keys and places that lead to it."""
    problem: str
    """What is there, and what is right."""
    meaning: str = ""
    """What the field is for, that holds it."""

    def __str__(self) -> str:
        place = ".".join(clean(part)[:LONGEST_BRIEF] for part in self.where)
        return f"{place}: {self.problem}{f' ({self.meaning})' if self.meaning else ''}"


Check = Callable[[Any], Iterator[Flaw]]


@dataclass(frozen=True, slots=True)
class Field:
    """A key that a mapping may have."""

    check: Check
    meaning: str
    required: bool = False


def flaws_of(values: Mapping[Any, Any], fields: Mapping[str, Field]) -> Iterator[Flaw]:
    """What is wrong with the values of a mapping. Null stands for a key that is left out."""
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
    """A text of so many characters."""

    def check(value: Any) -> Iterator[Flaw]:
        if not isinstance(value, str):
            hint = ", in quotes if it looks like something else" if isinstance(value, int | float) else ""
            yield Flaw((), f"{brief(value)}: a text is right{hint}")
        elif not shortest <= len(value) <= longest:
            yield Flaw((), f"{brief(value)}: a text of {shortest} to {longest} characters is right")

    return check


def one_of(*words: str) -> Check:
    """One of these words."""

    def check(value: Any) -> Iterator[Flaw]:
        if not isinstance(value, str) or value not in words:
            yield Flaw((), f"{brief(value)}: {' or '.join(map(repr, words))} is right")

    return check


def whole_number(least: int, most: int) -> Check:
    """A whole number from `least` to `most`."""

    def check(value: Any) -> Iterator[Flaw]:
        if type(value) is not int or not least <= value <= most:  # true is an int to Python
            yield Flaw((), f"{brief(value)}: a whole number from {least} to {most} is right")

    return check


def list_of(item: Check, least: int = 0) -> Check:
    """A list with at least so many entries."""

    def check(value: Any) -> Iterator[Flaw]:
        if not isinstance(value, list):
            yield Flaw((), f"{brief(value)}: a list is right")
        elif not least <= len(value) <= MOST_ENTRIES:
            yield Flaw((), f"{brief(value)}: a list of {least} to {MOST_ENTRIES} entries is right")
        else:
            for place, entry in enumerate(value):
                for flaw in item(entry):
                    yield replace(flaw, where=(str(place), *flaw.where))

    return check


def one_or_list_of(item: Check) -> Check:
    """A list, or its only entry without the list."""
    several = list_of(item)
    return lambda value: several(value) if isinstance(value, list) else item(value)


def mapping_of(item: Check) -> Check:
    """A mapping of any texts to values of one kind."""
    name_of = text()

    def check(value: Any) -> Iterator[Flaw]:
        if not isinstance(value, dict):
            yield Flaw((), f"{brief(value)}: a mapping is right")
        elif len(value) > MOST_ENTRIES:
            yield Flaw((), f"{brief(value)}: a mapping of at most {MOST_ENTRIES} entries is right")
        else:
            for key, entry in value.items():
                yield from name_of(key)
                for flaw in item(entry):
                    yield replace(flaw, where=(brief(key).strip("'"), *flaw.where))

    return check


def section(fields: Mapping[str, Field]) -> Check:
    """A mapping that has fields of its own."""

    def check(value: Any) -> Iterator[Flaw]:
        if isinstance(value, dict):
            yield from flaws_of(value, fields)
        else:
            yield Flaw((), f"{brief(value)}: a mapping of {', '.join(fields)} is right")

    return check


def _did_you_mean(name: str, fields: Mapping[str, Field]) -> str:
    from difflib import get_close_matches  # only a mistake needs it

    close = get_close_matches(name[:LONGEST_BRIEF], fields, n=1)
    return f"; did you mean {close[0]}?" if close else f"; known here: {', '.join(fields)}"
