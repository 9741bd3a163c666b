"""Fields of a form as plain values: what they are, how their text is read, and what differs from a base.

A form's values are one flat mapping: dotted key -> value, and for a section that can be left out (such as
`model.classification_head`) its key -> True or False. Nothing here knows pydantic or Textual.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["text", "choice", "switch"]
Item = Literal["int", "float", "str"]
Values = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Field:
    """One key of a config as a form shows it.

    A `text` field is typed and read as `item` (with `many`: as several); a `choice` is one of `choices`. With `words`
    a number may also be one of these words. `bounds` says in words what is right.
    """

    key: str
    kind: Kind
    default: Any = None
    item: Item = "str"
    many: bool = False
    optional: bool = False
    choices: tuple[Any, ...] = ()
    words: tuple[str, ...] = ()
    bounds: str = ""
    description: str = ""
    examples: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """The last part of the key."""
        return self.key.rpartition(".")[2]


@dataclass(frozen=True, slots=True)
class Section:
    """A group of fields. The root's key is empty; an `optional` section may be off (`default_on` says what it is).
    `fixed` holds the keys that can only have one value, as (key in the section, value)."""

    key: str
    description: str
    fields: tuple[Field, ...]
    sections: tuple[Section, ...] = ()
    optional: bool = False
    default_on: bool = True
    fixed: tuple[tuple[str, Any], ...] = ()

    def walk(self) -> Iterator[Field]:
        """Every field, those of inner sections after the section's own."""
        yield from self.fields
        for section in self.sections:
            yield from section.walk()

    def optional_sections(self) -> Iterator[Section]:
        """Every section below this one that can be off."""
        for section in self.sections:
            if section.optional:
                yield section
            yield from section.optional_sections()


def defaults(section: Section) -> dict[str, Any]:
    """The flat values of a form on which nothing was given."""
    values = {inner.key: inner.default_on for inner in section.optional_sections()}
    return values | {field.key: field.default for field in section.walk()}


def flatten(section: Section, tree: Mapping[str, Any]) -> dict[str, Any]:
    """A model's dump as flat values. The fields of a section that is off keep their defaults."""
    values = {field.key: tree.get(field.label, field.default) for field in section.fields}
    for inner in section.sections:
        below = tree.get(_last(inner.key))
        if inner.optional:
            values[inner.key] = below is not None
        values |= defaults(inner) if below is None else flatten(inner, below)
    return values


def nest(section: Section, values: Values) -> dict[str, Any]:
    """Flat values as the tree that the model is validated from; a section that is off becomes None."""
    tree = {**dict(section.fixed), **{field.label: values[field.key] for field in section.fields}}
    for inner in section.sections:
        on = not inner.optional or values[inner.key]
        tree[_last(inner.key)] = nest(inner, values) if on else None
    return tree


def differences(section: Section, base: Values, values: Values) -> list[tuple[str, Any]]:
    """(dotted key, value) of what has to be set on the base to get the values, in the order of the schema.

    Turning a section off sets it to None; turning it on sets those of its keys that are no default, or {}.
    """
    changes = [(field.key, values[field.key]) for field in section.fields if values[field.key] != base[field.key]]
    for inner in section.sections:
        was, now = (not inner.optional or base[inner.key]), (not inner.optional or values[inner.key])
        if now:
            below = differences(inner, base if was else {**defaults(inner), inner.key: True}, values)
            changes += below or ([] if was else [(inner.key, {})])
        elif was:
            changes.append((inner.key, None))
    return changes


def parse(field: Field, text: str) -> Any:
    """What was typed, as a value to validate. Text that is no number stays text, and validation says so."""
    text = text.strip()
    if not text and field.optional:
        return None
    if not field.many:
        return _parse_item(field, text)
    parts = re.split(r"[,\s]+", text.strip("[]() "))
    return tuple(_parse_item(field, part) for part in parts if part)


def show(value: Any) -> str:
    """A value as a text field shows it; `parse` reads it back."""
    if value is None:
        return ""
    if isinstance(value, tuple | list):
        return ", ".join(map(show, value))
    return str(value)


def _parse_item(field: Field, text: str) -> Any:
    if field.item == "str":
        return text
    try:
        return int(text) if field.item == "int" else float(text)
    except ValueError:
        return text


def _last(key: str) -> str:
    return key.rpartition(".")[2]
