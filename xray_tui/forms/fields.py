"""Fields of a form as plain values: their description, how their text is parsed, and changes to a base config.

The values of a form are one flat mapping of dotted keys to values. The key of an optional section (such as
`model.classification_head`) maps to True or False. This module imports neither pydantic nor Textual.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

ControlKind = Literal["text", "choice", "switch"]
Values = Mapping[str, Any]
PARSERS: Mapping[str, Callable[[str], Any]] = {"integer": int, "number": float, "string": str}
"""Maps the JSON type of a text field's items to the function that parses one item."""


@dataclass(frozen=True, slots=True)
class Field:
    """One key of a config as a form shows it.

    The text of a `text` field is parsed as an `item` (a JSON type), or as several if `many`. A `choice` is one of
    `choices`. A number may also be one of `words`. `bounds` describes the valid values.
    """

    key: str
    kind: ControlKind
    default: Any = None
    item: str = "string"
    many: bool = False
    optional: bool = False
    choices: tuple[Any, ...] = ()
    words: tuple[str, ...] = ()
    bounds: str = ""
    description: str = ""
    examples: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        return _last(self.key)

    @property
    def help(self) -> str:
        """The meaning, the valid values, the default and an example, as sentences."""
        default = ("yes" if self.default else "no") if self.kind == "switch" else show(self.default)
        shown = default or ("" if "empty:" in self.description else "empty")
        example = next((text for text in self.examples if text != default), "")
        facts = {"Expected": self._expected, "Default:": shown, "Example:": example}
        about = sentence(self.description, self.examples)
        return " ".join([f"{self.key}: {about}", *(f"{name} {fact}." for name, fact in facts.items() if fact)])

    @property
    def _expected(self) -> str:
        if self.kind != "text" or (self.item == "string" and self.many):
            return self.bounds
        item = {"integer": "whole number", "number": "number"}.get(self.item, "")
        kind = f"{item}s with commas" if self.many else item and f"a {item}"
        return ", ".join(filter(None, [kind, self.bounds]))


def sentence(text: str, names: tuple[str, ...] = ()) -> str:
    """The text with a full stop, and with a capital letter unless its first word is code or one of `names`."""
    first = text.partition(" ")[0].rstrip(",")
    is_code = first in names or not first.isalpha() or not first.islower()
    return text and (text if is_code else text[0].upper() + text[1:]) + "."


@dataclass(frozen=True, slots=True)
class Section:
    """A group of fields. The key of the root is empty. An `optional` section can be off; `default_on` is its default.

    `fixed` holds the keys that have only one possible value, as (key in the section, value).
    """

    key: str
    description: str
    fields: tuple[Field, ...]
    sections: tuple[Section, ...] = ()
    optional: bool = False
    default_on: bool = True
    fixed: tuple[tuple[str, Any], ...] = ()

    def walk(self) -> Iterator[Field]:
        """All fields: first its own, then those of inner sections."""
        yield from self.fields
        for section in self.sections:
            yield from section.walk()

    def optional_sections(self) -> Iterator[Section]:
        """All optional sections below this one."""
        for section in self.sections:
            if section.optional:
                yield section
            yield from section.optional_sections()


def defaults(section: Section) -> dict[str, Any]:
    """The default values, as a flat mapping."""
    values = {inner.key: inner.default_on for inner in section.optional_sections()}
    return values | {field.key: field.default for field in section.walk()}


def flatten(section: Section, tree: Mapping[str, Any]) -> dict[str, Any]:
    """A model's dump as flat values. The fields of a section that is off get their defaults."""
    values = {field.key: tree.get(field.label, field.default) for field in section.fields}
    for inner in section.sections:
        below = tree.get(_last(inner.key))
        if inner.optional:
            values[inner.key] = below is not None
        values |= defaults(inner) if below is None else flatten(inner, below)
    return values


def nest(section: Section, values: Values) -> dict[str, Any]:
    """Flat values as the nested mapping that the model validates; a section that is off becomes None."""
    tree = {**dict(section.fixed), **{field.label: values[field.key] for field in section.fields}}
    for inner in section.sections:
        on = not inner.optional or values[inner.key]
        tree[_last(inner.key)] = nest(inner, values) if on else None
    return tree


def differences(section: Section, base: Values, values: Values) -> list[tuple[str, Any]]:
    """The (dotted key, value) changes from `base` to `values`, in the order of the schema.

    Turning a section off sets it to None; turning it on sets its keys that differ from their defaults, or {}.
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
    """The typed text as a value to validate. Text that is not a number is left as text, which validation rejects."""
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
    try:
        return PARSERS[field.item](text)
    except ValueError:
        return text


def _last(key: str) -> str:
    return key.rpartition(".")[2]
