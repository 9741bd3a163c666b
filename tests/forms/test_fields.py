"""The schema of a form and the values in it, without a terminal."""

from __future__ import annotations

from pathlib import Path
from textwrap import wrap
from typing import Annotated, Literal

import pytest
from pydantic import BaseModel
from pydantic import Field as Key

from engine.contract.config import BlendConfig, ClassifierConfig, EvaluateOptions, TrainConfig
from engine.contract.load import load_config
from xray_tui.forms.fields import Field, defaults, differences, flatten, nest, parse, show
from xray_tui.forms.schema import walk

MODELS = [TrainConfig, ClassifierConfig, EvaluateOptions, BlendConfig]
RECIPES = sorted((Path(__file__).resolve().parents[2] / "configs").glob("[!_]*.yaml"))


class Inner(BaseModel):
    """What is inside."""

    width: int = Key(3, ge=1, lt=9)


class Outer(BaseModel):
    kind: Literal["outer"] = "outer"
    name: str = "x"
    share: float | None = Key(None, gt=0, lt=1, description="a share")
    size: int = Key(64, ge=32, multiple_of=32)
    on: bool = True
    mode: Literal["a", "b"] = "a"
    loose: Literal[1, 2] | None = None
    level: Annotated[float, Key(gt=0, lt=1)] | Literal["tuned"] = "tuned"
    sizes: tuple[Annotated[int, Key(ge=4)], ...] = Key((8, 4), min_length=1, max_length=3)
    inner: Inner = Inner()
    extra: Inner | None = None


SCHEMA = walk(Outer)
FIELDS = {field.key: field for field in SCHEMA.walk()}


@pytest.mark.parametrize("model", MODELS)
def test_every_key_of_every_config_has_a_field_that_says_what_it_is(model: type[BaseModel]) -> None:
    for field in walk(model).walk():
        assert field.description, field.key
        assert field.kind != "choice" or field.default in field.choices, field.key


@pytest.mark.parametrize("model", MODELS)
def test_the_text_of_every_default_reads_back_as_the_default(model: type[BaseModel]) -> None:
    for field in walk(model).walk():
        if field.kind == "text":
            assert parse(field, show(field.default)) == field.default, field.key


def test_a_key_with_one_possible_value_is_no_field() -> None:
    assert "kind" not in FIELDS


def test_literals_are_choices_and_an_optional_one_can_be_empty() -> None:
    assert FIELDS["mode"].kind == "choice"
    assert FIELDS["mode"].choices == ("a", "b")
    assert FIELDS["loose"].choices == (None, 1, 2)


def test_bools_are_switches() -> None:
    assert FIELDS["on"].kind == "switch"


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("share", "above 0 and below 1"),
        ("size", "32 or more, a multiple of 32"),
        ("level", "above 0 and below 1, or tuned"),
        ("sizes", "1 to 3 of 4 or more"),
        ("inner.width", "1 to below 9"),
        ("name", ""),
    ],
)
def test_bounds_are_said_in_words(key: str, words: str) -> None:
    assert FIELDS[key].bounds == words


def test_an_optional_model_is_a_section_that_can_be_off() -> None:
    sections = {section.key: section for section in SCHEMA.sections}
    assert not sections["inner"].optional
    assert sections["extra"].optional
    assert not sections["extra"].default_on
    assert sections["inner"].description == "What is inside."


def test_a_type_that_no_form_can_edit_is_refused_by_name() -> None:
    class Odd(BaseModel):
        table: dict[str, int] = {}

    with pytest.raises(TypeError, match="table: unsupported type"):
        walk(Odd)


def test_a_config_comes_back_from_its_flat_values() -> None:
    config = TrainConfig.model_validate({"seed": 3, "model": {"classification_head": {"hidden": 9}}})
    schema = walk(TrainConfig)
    flat = flatten(schema, config.model_dump())
    assert flat["model.classification_head"] is True
    assert flat["model.classification_head.hidden"] == 9
    assert TrainConfig.model_validate(nest(schema, flat)) == config


def test_a_section_that_is_off_keeps_its_defaults_and_becomes_none() -> None:
    flat = flatten(SCHEMA, Outer().model_dump())
    assert flat["extra"] is False
    assert flat["extra.width"] == 3
    assert nest(SCHEMA, flat)["extra"] is None


def test_nothing_differs_from_itself() -> None:
    assert differences(SCHEMA, defaults(SCHEMA), defaults(SCHEMA)) == []


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"inner.width": 5, "size": 96}, [("size", 96), ("inner.width", 5)]),
        ({"extra": True}, [("extra", {})]),
        ({"extra": True, "extra.width": 4}, [("extra.width", 4)]),
        ({"extra.width": 4}, []),
    ],
)
def test_only_what_differs_is_set(given: dict[str, object], expected: list[object]) -> None:
    base = defaults(SCHEMA)
    assert differences(SCHEMA, base, base | given) == expected


def test_turning_a_section_off_sets_it_to_none() -> None:
    base = defaults(SCHEMA) | {"extra": True, "extra.width": 5}
    assert differences(SCHEMA, base, base | {"extra": False}) == [("extra", None)]


def test_a_section_that_stays_on_is_compared_with_the_base_not_with_its_defaults() -> None:
    base = defaults(SCHEMA) | {"extra": True, "extra.width": 5}
    assert differences(SCHEMA, base, base) == []
    assert differences(SCHEMA, base, base | {"extra.width": 3}) == [("extra.width", 3)]


@pytest.mark.parametrize(
    ("text", "value"),
    [("8, 16", (8, 16)), ("[8,16]", (8, 16)), ("8 16 ", (8, 16)), ("", ()), ("8, x", (8, "x"))],
)
def test_several_numbers_are_read_as_people_type_them(text: str, value: tuple[object, ...]) -> None:
    assert parse(FIELDS["sizes"], text) == value


def test_an_empty_optional_field_is_none_and_text_that_is_no_number_stays_text() -> None:
    assert parse(FIELDS["share"], "  ") is None
    assert parse(FIELDS["share"], "abc") == "abc"
    assert parse(FIELDS["size"], "64") == 64
    assert parse(FIELDS["level"], "tuned") == "tuned"
    assert parse(FIELDS["level"], "0.3") == 0.3
    assert parse(Field("x", "text"), " a b ") == "a b"


@pytest.mark.parametrize("model", MODELS)
def test_all_that_there_is_to_say_about_a_field_fits_the_two_lines_for_it_in_80_columns(model: type[BaseModel]) -> None:
    for field in walk(model).walk():
        assert field.bounds in field.help
        assert len(wrap(field.help.partition(" Example:")[0], 80 - 5)) <= 2, field.help


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_form_of_any_recipe_gives_back_the_recipe(path: Path) -> None:
    config = load_config(path)
    schema = walk(type(config), value=config)
    assert type(config).model_validate(nest(schema, flatten(schema, config.model_dump()))) == config
    for field in schema.walk():
        assert len(wrap(field.help.partition(" Example:")[0], 80 - 5)) <= 2, field.key


def test_a_form_of_a_network_asks_for_its_own_keys_and_keeps_which_it_is(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("model: {arch: swin3d_adapter, depth: 3}\n")
    config = load_config(tmp_path / "a.yaml")
    schema = walk(TrainConfig, value=config)
    keys = {field.key for field in schema.walk()}
    assert {"model.depth", "model.volume"} <= keys
    assert not {"model.arch", "model.encoder"} & keys
    assert nest(schema, flatten(schema, config.model_dump()))["model"]["arch"] == "swin3d_adapter"
