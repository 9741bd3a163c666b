"""From a pydantic model to the fields of a form. Only this module of the forms uses pydantic's internals.

Import it when a form opens, not before: importing pydantic takes longer than the rest of the start-up.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import annotated_types as at
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from xray_tui.forms.fields import Field, Item, Kind, Section

ITEMS: dict[Any, Item] = {int: "int", float: "float", str: "str"}


def walk(
    model: type[BaseModel],
    key: str = "",
    *,
    value: BaseModel | None = None,
    optional: bool = False,
    default_on: bool = True,
) -> Section:
    """The model's fields as a section: nested models become sections, and `Model | None` becomes an optional section.

    Of a union of models, the section has the fields of the model in `value` (a config of this model), else of the
    first. A key with one possible value, such as `kind`, goes to `fixed`. Raises TypeError for an unsupported type.
    """
    fields: list[Field] = []
    sections: list[Section] = []
    fixed: list[tuple[str, Any]] = []
    for name, info in model.model_fields.items():
        dotted = f"{key}.{name}" if key else name
        choices = _arms(info.annotation)
        arms = [arm for arm in choices if arm is not NoneType]
        may_be_none = len(arms) < len(choices)
        models: list[type[BaseModel]] = [kind for arm in arms if _is_model(kind := _bare(arm)[0])]
        if models:
            nested = getattr(value, name, None)
            chosen = next((kind for kind in models if type(nested) is kind), models[0])
            on = info.get_default(call_default_factory=True) is not None
            sections.append(walk(chosen, dotted, value=nested, optional=may_be_none, default_on=on))
        elif (field := _field(dotted, info, arms, may_be_none)) is not None:
            fields.append(field)
        else:
            fixed.append((name, info.get_default(call_default_factory=True)))
    description = inspect.getdoc(model) or ""
    return Section(key, description, tuple(fields), tuple(sections), optional, default_on, tuple(fixed))


def _is_model(kind: Any) -> bool:
    return inspect.isclass(kind) and issubclass(kind, BaseModel)


def _field(key: str, info: FieldInfo, arms: list[Any], optional: bool) -> Field | None:
    default = info.get_default(call_default_factory=True)
    metadata: list[Any] = list(info.metadata)
    words: tuple[str, ...] = ()
    many = False
    types = []
    for arm in arms:
        kind, inner = _bare(arm)
        metadata += inner
        if get_origin(kind) is Literal and len(arms) > 1:
            words += get_args(kind)
        elif get_origin(kind) is tuple:
            many = True
            types.append(kind)
        else:
            types.append(kind)
    if len(types) != 1:
        raise TypeError(f"{key}: unsupported type {info.annotation}")
    base, item_metadata = _bare(get_args(types[0])[0]) if many else (types[0], [])
    choices = get_args(base) if get_origin(base) is Literal else ()
    if len(choices) == 1 and not many and not optional:
        return None
    kind_of_field: Kind = "text"
    if base is bool:
        kind_of_field = "switch"
    elif choices and not many:
        kind_of_field = "choice"
    elif not choices and base not in ITEMS:
        raise TypeError(f"{key}: unsupported type {info.annotation}")
    examples = tuple(map(str, info.examples or ())) or words or (tuple(map(str, choices)) if many else ())
    return Field(
        key=key,
        kind=kind_of_field,
        default="" if default is PydanticUndefined else default,
        item=ITEMS.get(base, "str"),
        many=many,
        optional=optional,
        choices=((None,) if optional else ()) + choices if kind_of_field == "choice" else (),
        words=words,
        bounds=_bounds(metadata, item_metadata, words, choices if many else (), many),
        description=info.description or "",
        examples=examples,
    )


def _arms(annotation: Any) -> tuple[Any, ...]:
    """The members of a union; any other type alone."""
    return get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)


def _bare(annotation: Any) -> tuple[Any, list[Any]]:
    """A type without its Annotated, and its constraints."""
    if get_origin(annotation) is not Annotated:
        return annotation, []
    kind, *extras = get_args(annotation)
    constraints: list[Any] = []
    for extra in extras:
        constraints += extra.metadata if isinstance(extra, FieldInfo) else [extra]
    return kind, constraints


def _bounds(metadata: list[Any], items: list[Any], words: Iterable[str], choices: Iterable[Any], many: bool) -> str:
    """The constraints in words: `1 to 10000`, `above 0 to 10, or tuned`, `3 to 5 of 4 to 1024`."""
    number = _range(items if many else metadata)
    if choices:
        number = ", ".join(map(str, choices))
    if many and (count := _count(metadata)):
        number = f"{count} of {number}" if number else count
    return ", or ".join(filter(None, [number, *words]))


def _range(metadata: list[Any]) -> str:
    low = high = step = ""
    for item in metadata:
        match item:
            case at.Ge(ge):
                low = f"{ge:.12g}"
            case at.Gt(gt):
                low = f"above {gt:.12g}"
            case at.Le(le):
                high = f"{le:.12g}"
            case at.Lt(lt):
                high = f"below {lt:.12g}"
            case at.MultipleOf(multiple):
                step = f", a multiple of {multiple}"
    if low and high:
        both_open = low.startswith("above") and high.startswith("below")
        return f"{low} {'and' if both_open else 'to'} {high}{step}"
    return (f"{low} or more" if low else high and f"up to {high}") + step


def _count(metadata: list[Any]) -> str:
    least = next((item.min_length for item in metadata if isinstance(item, at.MinLen)), None)
    most = next((item.max_length for item in metadata if isinstance(item, at.MaxLen)), None)
    if least is None and most is None:
        return ""
    if most is None:
        return f"{least} or more"
    return f"up to {most}" if least is None else f"{least} to {most}"
