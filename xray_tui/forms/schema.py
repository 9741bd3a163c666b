"""Derives the fields of a form from a config model, using the JSON schema that pydantic generates for it."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from xray_tui.forms.fields import PARSERS, ControlKind, Field, Section, show

Json = dict[str, Any]


def walk(model: type[BaseModel], value: BaseModel | None = None) -> Section:
    """The model's fields as a section: nested models become sections, and `Model | None` becomes an optional section.

    For a union of models, the section has the fields of the model in `value` (a config of this model), or those of the
    first. A key with one possible value, such as `kind`, goes to `fixed`. Raises TypeError for an unsupported type.
    """
    schema = model.model_json_schema()
    return _section(schema, schema.get("$defs", {}), value, "", optional=False, default_on=True)


def _section(schema: Json, models: Json, value: object, key: str, *, optional: bool, default_on: bool) -> Section:
    fields: list[Field] = []
    sections: list[Section] = []
    fixed: list[tuple[str, Any]] = []
    for name, entry in schema["properties"].items():
        dotted = f"{key}.{name}" if key else name
        arms = entry.get("anyOf") or entry.get("oneOf") or [entry]
        types = [arm for arm in arms if arm.get("type") != "null"]
        may_be_none = len(types) < len(arms)
        nested_models = [arm["$ref"].rpartition("/")[2] for arm in types if "$ref" in arm]
        if nested_models:
            nested = getattr(value, name, None)
            chosen = type(nested).__name__ if type(nested).__name__ in nested_models else nested_models[0]
            on = entry.get("default", {}) is not None
            sections.append(_section(models[chosen], models, nested, dotted, optional=may_be_none, default_on=on))
        elif len(arms) == 1 and "const" in entry:
            fixed.append((name, entry["const"]))
        else:
            fields.append(_field(dotted, entry, types, may_be_none))
    description = schema.get("description", "")
    return Section(key, description, tuple(fields), tuple(sections), optional, default_on, tuple(fixed))


def _field(key: str, entry: Json, types: list[Json], optional: bool) -> Field:
    words = tuple(word for kind in types for word in _literals(kind)) if len(types) > 1 else ()
    types = [kind for kind in types if not (words and _literals(kind))]
    if len(types) != 1:
        raise TypeError(f"{key}: unsupported type {entry}")
    (whole,) = types
    many = whole.get("type") == "array"
    item = (whole.get("items") or whole["prefixItems"][0]) if many else whole
    choices = _literals(item)
    default = entry.get("default", "")
    kind: ControlKind = "switch" if item.get("type") == "boolean" else "choice" if choices and not many else "text"
    if kind == "text" and not choices and item.get("type") not in PARSERS:
        raise TypeError(f"{key}: unsupported type {entry}")
    return Field(
        key=key,
        kind=kind,
        default=tuple(default) if isinstance(default, list) else default,
        item="string" if choices else item.get("type", ""),
        many=many,
        optional=optional,
        choices=((None,) if optional else ()) + choices if kind == "choice" else (),
        words=words,
        bounds=", or ".join(filter(None, [_bounds(whole, item, choices if many else ()), *words])),
        description=entry.get("description", ""),
        examples=tuple(map(show, entry.get("examples") or words or (choices if many else ()))),
    )


def _literals(kind: Json) -> tuple[Any, ...]:
    return (kind["const"],) if "const" in kind else tuple(kind.get("enum", ()))


def _bounds(whole: Json, item: Json, choices: tuple[Any, ...]) -> str:
    """The valid values: `1 to 10000`, `above 0 and below 1`, `3 to 5 of 4 to 1024`, `1 or more of cls, max`."""
    values = ", ".join(map(str, choices)) or _range(item)
    least, most = (whole.get("minItems"), whole.get("maxItems")) if "items" in whole else (None, None)
    if least is None and most is None:
        return values
    count = f"{least} or more" if most is None else f"up to {most}" if least is None else f"{least} to {most}"
    return f"{count} of {values}" if values else count


def _range(item: Json) -> str:
    low = f"{item['minimum']:.12g}" if "minimum" in item else ""
    low = f"above {item['exclusiveMinimum']:.12g}" if "exclusiveMinimum" in item else low
    high = f"{item['maximum']:.12g}" if "maximum" in item else ""
    high = f"below {item['exclusiveMaximum']:.12g}" if "exclusiveMaximum" in item else high
    step = f", a multiple of {item['multipleOf']}" if "multipleOf" in item else ""
    if low and high:
        both_open = low.startswith("above") and high.startswith("below")
        return f"{low} {'and' if both_open else 'to'} {high}{step}"
    return (f"{low} or more" if low else high and f"up to {high}") + step
