"""The filter language, and the values that it asks for."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.contract.errors import BadInput
from xray_tui.board.filters import completions, keys_of, matcher, parse_filter
from xray_tui.board.values import Values, read_values

from .place import board_of, put
from .test_cli import xray_tui


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Three runs: two seeds with configs, one of them with a note, and a blend without a config."""
    for seed, dice in ((42, 0.3), (1337, 0.41)):
        run = f"lite/seed_{seed}"
        artifact = {"dice_pos": dice, "tta_mode": "hv", "validation": {"dice_pos": 0.5}, "num_samples": 613}
        put(tmp_path / run / "test_metrics.json", artifact)
        config = f"seed: {seed}\nmodel: {{encoder: tf_efficientnet_lite0}}\ntraining: {{ema: true, lr: 1.0e-3}}\n"
        put(tmp_path / run / "config.yaml", config)
    put(tmp_path / "lite/seed_42/note.yaml", "tags: [Final, paper]\n")
    put(tmp_path / "blend_a/test_metrics.json", {"dice_pos": 0.38, "roc_auc": 0.8})
    return tmp_path


def names(runs: Path, text: str) -> set[str]:
    """The runs that pass the filter."""
    board = board_of(runs)
    values = Values(board.rules, {row.run: read_values(runs, row.run) for row in board.rows})
    return {row.run for row in filter(matcher(parse_filter(text), values.lookup), board.rows)}


A, B, C = "lite/seed_42", "lite/seed_1337", "blend_a"


@pytest.mark.parametrize(
    ("text", "runs_left"),
    [
        ("", {A, B, C}),
        ("SEED", {A, B}),
        ("dice_pos>0.3", {B, C}),
        ("dice_pos>=0.3", {A, B, C}),
        ("Dice_pos<0.38", {A}),
        ("dice_pos<=0.38", {A, C}),
        ("dice_pos=0.30", {A}),
        ("seed=42,1337 dice_pos>0.4", {B}),
        ("tta=HV", {A, B}),
        ("tta!=hv", {C}),
        ("encoder~lite0", {A, B}),
        ("model.encoder!~lite0", {C}),
        ("training.ema=true", {A, B}),
        ("lr=0.001", {A, B}),
        ("lr>1e-4", {A, B}),
        ("tag=final", {A}),
        ("tag=other,paper", {A}),
        ("not tag=final", {B, C}),
        ("not not tag=final", {A}),
        ("has:roc_auc", {C}),
        ("not has:seed", {C}),
        ("blend or seed=42", {A, C}),
        ("seed=42 tta=none or seed=1337 tta=hv", {B}),
        ("val.dice_pos>0.4", {A, B}),
        ('run="lite/seed_42"', {A}),
        ("num_samples=613", {A, B}),
    ],
)
def test_a_filter_leaves_the_runs_that_it_names(runs: Path, text: str, runs_left: set[str]) -> None:
    assert names(runs, text) == runs_left


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("dice_pos>", "filter: dice_pos>: expected a value, such as dice_pos>0.3"),
        ("dice_pos>high", "filter: dice_pos>high: expected a number after >"),
        ("dice_pos>0.1,0.2", "filter: dice_pos>0.1,0.2: expected one number after >"),
        ("has:", "filter: has: needs a key, such as has:roc_auc_presence"),
        ("or a", "filter: expected a term before `or`"),
        ("a or", "filter: expected a term after `or` or `not`"),
        ("a not", "filter: expected a term after `or` or `not`"),
    ],
)
def test_a_malformed_filter_says_what_was_expected(text: str, message: str) -> None:
    with pytest.raises(BadInput) as problem:
        parse_filter(text)
    assert str(problem.value) == message


def test_a_key_that_no_run_has_names_the_nearest(runs: Path) -> None:
    board = board_of(runs)
    with pytest.raises(BadInput, match="dice_poz: no run has this key; near: dice_pos"):
        Values(board.rules).check(keys_of(parse_filter("dice_poz>0.3")), board.rows)


def test_the_last_term_is_completed_by_keys_and_then_by_values() -> None:
    keys = ["tta", "tag", "training.lr"]
    values = {"tta": ["hv", "none"], "tag": ["to do", "final"]}
    assert completions("a ta", keys, values.get) == ["a tag"]
    assert completions("has:tr", keys, values.get) == ["has:training.lr"]
    assert completions("tta=none,H", keys, values.get) == ["tta=none,hv"]
    assert completions("tag~", keys, values.get) == ["tag~final", 'tag~"to do"']
    assert completions("tta=hv ", keys, values.get) == ["tta=hv tag", "tta=hv training.lr", "tta=hv tta"]


def test_the_runs_are_listed_as_plain_text_and_exports_are_filtered(runs: Path, tmp_path: Path) -> None:
    listed = xray_tui("ls", "--runs", runs, "--filter", "encoder~lite0", "--columns", "dice_pos,seed", cwd=tmp_path)
    assert listed.stdout.splitlines() == [
        "rank  run             dice_pos  seed",
        "1     lite/seed_1337  0.41      1337",
        "3     lite/seed_42    0.3       42",
    ]
    exported = xray_tui("export", "--runs", runs, "--filter", "seed=42", "--output", "-", cwd=tmp_path)
    assert "Only runs that match `seed=42`: 1 of 3." in exported.stdout
    assert "lite/seed_42" in exported.stdout
    assert "blend_a" not in exported.stdout
    wrong = xray_tui("ls", "--runs", runs, "--filter", "sed=42", cwd=tmp_path)
    assert (wrong.returncode, wrong.stderr.splitlines()[-1]) == (2, "xray-tui: sed: no run has this key; near: seed")
