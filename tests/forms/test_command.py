"""From what stands in a form to the engine's arguments, and back through the engine's own reading of them."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from engine.cli import make_parser
from engine.contract.config import BlendConfig, TrainConfig
from engine.contract.load import apply_overrides, load_config, save_config
from xray_tui.forms.context import Kind
from xray_tui.forms.fields import defaults, flatten
from xray_tui.forms.request import (
    MODELS,
    Draft,
    Filling,
    free_name,
    overrides,
    path_argument,
    problems_of,
    request_for,
    run_name_problem,
    to_config,
    to_model,
    yaml_text,
)
from xray_tui.forms.schema import walk
from xray_tui.jobs.model.job import JobSpec
from xray_tui.jobs.model.request import shown_command

from .place import PLAIN, write

CWD = Path("/home/ana/study")
TAKEN = {"unet": "the folder exists and is not empty", "unet_2": "claimed by job 7, which is queued"}


def draft(kind: Kind, changes: Mapping[str, Any] | None = None, **given: Any) -> Draft:
    base = of(MODELS[kind])
    values = {**base.values, **(changes or {})}
    made = Draft(kind, Path("runs"), "a", values, base, members=("x", "y") if kind == "blend" else ())
    return replace(made, **given)


def of(model: type[BaseModel], changes: Mapping[str, Any] | None = None) -> Filling:
    """The defaults of a model, with changes."""
    schema = walk(model)
    return Filling(model, schema, defaults(schema) | (changes or {}))


def problems(made: Draft) -> dict[str, str]:
    return problems_of(made, TAKEN)


def job(made: Draft) -> JobSpec:
    return JobSpec(made.kind, made.run, request_for(made, CWD))


def argv(made: Draft) -> tuple[str, ...]:
    return job(made).argv


def test_a_training_gives_its_recipe_its_run_and_only_what_differs() -> None:
    made = draft("train", {"training.epochs": 3, "model.encoder": "resnet34"}, config=Path("configs/unet.yaml"))
    assert argv(made) == (
        "train", "--config", "configs/unet.yaml", "--run", "runs/a",
        "--set", "model.encoder=resnet34", "--set", "training.epochs=3",
    )  # fmt: skip


def test_an_evaluation_always_gives_run_tta_and_threshold() -> None:
    assert argv(draft("evaluate")) == ("evaluate", "--run", "runs/a", "--tta", "auto", "--threshold", "tuned")


def test_an_evaluation_gives_other_choices_where_they_are_no_defaults() -> None:
    made = draft("evaluate", {"threshold": 0.25, "gate": 0.3, "batch_size": 4, "presence": "cls"})
    assert argv(made)[5:] == (
        "--threshold", "0.25", "--presence", "cls", "--gate", "0.3", "--batch-size", "4",
    )  # fmt: skip


def test_a_blend_gives_its_members_and_sets_the_rest() -> None:
    made = draft("blend", {"tta": "none", "weight_step": 0.05, "presence_sources": ("cls", "max")})
    assert argv(made) == (
        "blend", "--members", "runs/x", "runs/y", "--run", "runs/a", "--tta", "none",
        "--set", "weight_step=0.05", "--set", "presence_sources=[cls, max]",
    )  # fmt: skip


@pytest.mark.parametrize(
    "made",
    [
        draft("train", {"seed": 1, "model.classification_head": True}, config=Path("c.yaml")),
        draft("evaluate", {"gate": "tuned", "checkpoint": "last", "bootstrap": 0}),
        draft("blend", {"seed": 1}),
    ],
    ids=lambda made: made.kind,
)
def test_the_engine_takes_every_command_as_it_is_shown(made: Draft) -> None:
    assert not problems(made)
    shown = shown_command(job(made))
    assert shlex.split(shown)[1:] == list(argv(made))
    given = make_parser().parse_args(argv(made))
    assert given.command == made.kind
    assert str(given.run) == "runs/a"


def test_the_engine_resolves_the_command_to_the_config_of_the_form(tmp_path: Path) -> None:
    recipe = tmp_path / "plain.yaml"
    write(recipe, PLAIN)
    schema = walk(TrainConfig)
    base = Filling(TrainConfig, schema, flatten(schema, load_config(recipe).model_dump()))
    values = base.values | {
        "training.lr": 1e-6,
        "training.grad_clip": 1.0,
        "training.positive_share": None,
        "model.decoder_channels": (64, 32, 16),
        "model.classification_head": True,
        "model.classification_head.dropout": 0.0,
        "data.keep_aspect": True,
        "model.encoder": "on",
    }
    made = Draft("train", Path("runs"), "a", values, base, recipe)
    given = request_for(made, CWD).overrides
    assert len(given) == 7
    assert load_config(recipe, given) == to_model(made)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
        lambda inner: st.lists(inner, max_size=4),
        max_leaves=6,
    )
)
def test_the_engine_reads_every_set_value_back(value: object) -> None:
    values: dict[str, Any] = {}
    apply_overrides(values, overrides([("a.b", value)]))
    if isinstance(value, list) and None in value:
        return  # no config has such a list
    assert values["a"]["b"] == value


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""), (True, "true"), (3, "3"), (1e-5, "1.0e-05"), ((128, 64), "[128, 64]"), ({}, "{}"),
        ("resnet34", "resnet34"), ("3", '"3"'), ("yes", '"yes"'), ("a: b", '"a: b"'), ("", '""'),
    ],
)  # fmt: skip
def test_set_values_are_as_plain_as_they_can_be(value: object, text: str) -> None:
    assert yaml_text(value) == text


@pytest.mark.parametrize(
    ("path", "argument"),
    [
        ("runs/a", "runs/a"),
        ("/home/ana/study/runs/a", "runs/a"),
        ("../other/c.yaml", "/home/ana/other/c.yaml"),
        ("/data/m.csv", "/data/m.csv"),
        ("-x", "./-x"),
    ],
)
def test_paths_are_relative_inside_the_working_directory_and_absolute_elsewhere(path: str, argument: str) -> None:
    assert path_argument(Path(path), CWD) == argument


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("", "empty"), ("/tmp/x", "leads out of the runs folder"), ("../x", "leads out of"),
        (".hidden", "hidden"), ("a/checkpoints", "does not look"), ("x" * 201, "too long"), ("ü" * 130, "longer than"),
        ("a\x1b[31m", "control"), (" a", "blanks"), ("unet", "not empty; unet_3 is free"),
        ("unet_2", "claimed by job 7"), ("unet/", "not empty"),
    ],
)  # fmt: skip
def test_a_bad_run_name_is_refused_in_words(name: str, words: str) -> None:
    problem = run_name_problem(name, TAKEN)
    assert problem is not None
    assert words in problem


@pytest.mark.parametrize("name", ["a", "seeds/seed_42", "a b", "ä|`x`", "-x"])
def test_an_unusual_run_name_is_taken(name: str) -> None:
    assert run_name_problem(name, TAKEN) is None


def test_a_proposed_name_is_the_first_that_is_free() -> None:
    assert free_name("other", TAKEN) == "other"
    assert free_name("unet", TAKEN) == "unet_3"


@pytest.mark.parametrize(
    ("kind", "changes", "key", "problem"),
    [
        ("train", {"training.epochs": "x"}, "training.epochs", "'x': should be a valid integer"),
        ("train", {"training.epochs": ""}, "training.epochs", "empty: should be a valid integer"),
        ("train", {"data.image_size": 33}, "data.image_size", "33: should be a multiple of 32"),
        ("train", {"model.decoder_channels": (8, 8, 1)}, "model.decoder_channels", "1: should be greater than"),
        ("evaluate", {"threshold": 2.0}, "threshold", "2.0: should be less than 1"),
        ("evaluate", {"threshold": "x"}, "threshold", "should be 'tuned'"),
        ("blend", {"presence_sources": ("x",)}, "presence_sources", "'cls', 'max', 'mean', 'topk_mean' or 'pred_area'"),
    ],
)
def test_a_problem_is_placed_at_its_field_in_words(kind: Kind, changes: dict[str, Any], key: str, problem: str) -> None:
    found = problems(draft(kind, changes))
    assert list(found) == [key]
    assert problem in found[key]


def test_a_problem_in_a_section_that_is_off_does_not_count() -> None:
    changes = {"model.classification_head.hidden": -1}
    assert not problems(draft("train", changes))
    wrong = problems(draft("train", changes | {"model.classification_head": True}))
    assert list(wrong) == ["model.classification_head.hidden"]


def test_a_blend_of_one_run_is_refused() -> None:
    assert "at least two" in problems(draft("blend", members=("x",)))["members"]


def test_an_evaluation_without_a_run_is_refused() -> None:
    assert "checkpoints/best.pt" in problems(draft("evaluate", run=""))["run"]


def test_control_codes_in_a_name_do_not_reach_the_shown_command() -> None:
    made = draft("evaluate", run="a\x1b]0;x\x07")
    assert shown_command(job(made)).isprintable()
    assert "runs/a\x1b]0;x\x07" in argv(made)


def test_a_saved_training_reads_back_and_is_named_by_its_file(tmp_path: Path) -> None:
    base = of(TrainConfig, {"name": "old_run"})
    made = Draft("train", Path("runs"), "a", {**base.values, "data.manifest": "data/m.csv", "seed": 5}, base)
    save_config(to_config(made, CWD), tmp_path / "mine.yaml")
    config = load_config(tmp_path / "mine.yaml")
    assert isinstance(config, TrainConfig)
    assert (config.seed, config.name) == (5, None)


def test_a_saved_blend_keeps_its_members(tmp_path: Path) -> None:
    made = draft("blend", runs=tmp_path / "runs")
    for member in made.members:
        (tmp_path / "runs" / member).mkdir(parents=True)
    (tmp_path / "configs").mkdir()
    save_config(to_config(made, CWD), tmp_path / "configs" / "mine.yaml")
    config = load_config(tmp_path / "configs" / "mine.yaml")
    assert isinstance(config, BlendConfig)
    assert [Path(member).resolve() for member in config.members] == [tmp_path / "runs" / "x", tmp_path / "runs" / "y"]
