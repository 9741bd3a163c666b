"""The run screen: all that an artifact says, whatever is missing in it or wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len

from engine.contract.load import load_config, save_config
from engine.contract.names import CONFIG, EVENTS
from tests.app.piloting import dashboard, notes, opened, screen_text, until
from tests.app.samples import NOW, make_job, write_artifact
from xray_tui.app.app import XrayApp
from xray_tui.app.messages import JobsChanged
from xray_tui.board.details import Details, read_details
from xray_tui.board.index import RunIndex
from xray_tui.board.rank import rank
from xray_tui.forms.screen import LaunchScreen
from xray_tui.jobs.model.job import State
from xray_tui.screens.run import run_lines
from xray_tui.screens.run_config import read_config
from xray_tui.screens.text_screen import WIDTH
from xray_tui.widgets.chart import CurveView

RECIPE = Path(__file__).parents[2] / "configs" / "baseline_posmetric.yaml"

WHOLE: dict[str, Any] = {
    "validation": {"dice_pos": 0.41, "roc_auc_presence": 0.93},
    "input": {"dice_pos": 0.39},
    "all_positive": {"dice_pos": 0.0107, "recall_pos": 1.0},
    "intervals": {"dice_pos": [0.35, 0.45]},
    "threshold": 0.49,
    "num_samples": 613,
    "num_positive": 108,
    "selection": {
        "threshold_source": "val",
        "presence_source": "cls",
        "gate": None,
        "selected_on": "val",
        "weights": [0.6, 0.4],
        "asked": {"tta": "hv", "threshold": "tuned"},
    },
    "data": {"fingerprint": "sha256:" + "ab" * 32, "split": "test", "metric_resolution": "native"},
    "provenance": {
        "checkpoints": [{"path": "checkpoints/best.pt", "sha256": "sha256:f9ec"}],
        "git": "1ab7331d1324-dirty",
        "engine": "0.1.0",
        "device": "NVIDIA A100-SXM4-80GB",
        "seconds": 331.08,
        "created": "2026-02-15T00:38:52+00:00",
    },
    "per_image": "test_metrics.images.csv",
}


def lines_of(runs: Path) -> list[str]:
    """What the screen shows of the first row."""
    board = rank(RunIndex(runs).scan())
    row = board.rows[0]
    return run_lines(row, board, read_details(runs, row.artifact.path, board.rules), NOW)


def entry(lines: list[str], label: str) -> str:
    """What stands behind a label, over all its lines."""
    at = next(place for place, line in enumerate(lines) if line.strip().startswith(label))
    words = [lines[at].strip().removeprefix(label)]
    words += takewhile(lambda line: line.startswith(" " * 12), lines[at + 1 :])
    return " ".join(" ".join(words).split())


def test_every_metric_stands_with_interval_input_size_validation_and_floor(tmp_path: Path) -> None:
    write_artifact(tmp_path, "r", 0.4, hd95=12.5, **WHOLE)
    lines = lines_of(tmp_path)
    dice = next(line for line in lines if line.startswith(" Dice_pos"))
    assert dice.split() == ["Dice_pos", "0.4000", "0.3500", "to", "0.4500", "0.3900", "0.4100", "0.0107"]
    assert any(line.split() == ["HD95", "12.5000", "-", "-", "-", "-"] for line in lines)
    assert any(line.split() == ["ROC-AUC", "(presence)", "0.9000", "-", "-", "0.9300", "-"] for line in lines)
    assert any("fracture everywhere" in line for line in lines)


def test_choices_data_and_provenance_are_all_there(tmp_path: Path) -> None:
    write_artifact(tmp_path, "r", 0.4, **WHOLE)
    lines = lines_of(tmp_path)
    assert entry(lines, "Threshold") == "0.49, chosen on validation"
    assert entry(lines, "TTA") == "hv"
    assert entry(lines, "Presence score") == "cls"
    assert entry(lines, "Gate") == "none"
    assert entry(lines, "Weights") == "0.6, 0.4"
    assert entry(lines, "Asked") == "tta hv, threshold tuned"
    assert lines[0].startswith(" n = 613 test images, 108 with a fracture · rank 1 of 1 · new ·")
    assert "sha256:" + "ab" * 32 in "".join(entry(lines, "Fingerprint").split())
    assert entry(lines, "Git") == "1ab7331d1324-dirty"
    assert entry(lines, "Device") == "NVIDIA A100-SXM4-80GB"
    assert entry(lines, "Seconds") == "331.08"
    assert entry(lines, "Created") == "2026-02-15T00:38:52+00:00"
    assert entry(lines, "Checkpoints") == "path checkpoints/best.pt, sha256 sha256:f9ec"
    assert max(map(cell_len, lines)) <= WIDTH + 1


@pytest.mark.parametrize(
    ("selection", "said"),
    [
        ({"threshold_source": "fixed"}, "0.25, fixed beforehand"),
        ({"threshold_source": "val"}, "0.25, chosen on validation"),
        ({}, "0.25, origin unknown"),
        ({"threshold_source": "tea leaves"}, "0.25, origin unknown"),
    ],
)
def test_it_says_where_the_threshold_came_from(tmp_path: Path, selection: dict[str, str], said: str) -> None:
    write_artifact(tmp_path, "r", 0.4, selection=selection)
    assert entry(lines_of(tmp_path), "Threshold") == said


@pytest.mark.parametrize(
    ("look", "said"),
    [({"run": 3, "data": 41}, "3rd look at test by this run, 41st by all runs"), (None, "looks unknown")],
)
def test_it_says_how_often_the_run_was_scored_on_test(tmp_path: Path, look: object, said: str) -> None:
    write_artifact(tmp_path, "r", 0.4, selection={"look": look})
    lines = lines_of(tmp_path)
    assert entry(lines, "Looks") == said
    assert not any(line.strip().startswith("Look ") for line in lines)


def test_an_older_artifact_has_what_it_says_and_no_empty_headings(tmp_path: Path) -> None:
    (tmp_path / "r").mkdir()
    (tmp_path / "r" / "test_metrics.json").write_text('{"dice_pos": 0.4}')
    lines = lines_of(tmp_path)
    assert " Provenance" not in lines
    assert " Data" not in lines
    assert not any("Floor" in line for line in lines)
    assert entry(lines, "Presence score") == "unknown"
    assert not any("ook" in line for line in lines)


def test_the_other_artifacts_of_the_run_are_named_the_best_first_and_those_that_do_not_rank(tmp_path: Path) -> None:
    write_artifact(tmp_path, "r", 0.4)
    write_artifact(tmp_path, "r", 0.2, name="test_metrics_a.json", tta_mode="none")
    write_artifact(tmp_path, "r", 0.3, name="test_metrics_b.json", selection={"threshold_source": "val"})
    (tmp_path / "r" / "test_metrics_c.json").write_text("[]")
    write_artifact(tmp_path, "elsewhere", 0.1)
    lines = lines_of(tmp_path)
    assert " best of 3" in lines
    at = lines.index(" Other artifacts of this run, by Dice_pos")
    assert [" ".join(line.split()) for line in lines[at + 1 :]] == [
        "0.3000 test_metrics_b.json, threshold 0.25 (val), TTA hv",
        "0.2000 test_metrics_a.json, threshold 0.25 (unknown), TTA none",
        "- test_metrics_c.json: expected a JSON object, got a list",
    ]


def test_the_other_artifacts_have_the_figures_that_rank(tmp_path: Path) -> None:
    (tmp_path / "board.yaml").write_text("resolution: input\n")
    write_artifact(tmp_path, "r", 0.4, input={"dice_pos": 0.5})
    write_artifact(tmp_path, "r", 0.6, name="test_metrics_a.json", input={"dice_pos": 0.3})
    assert lines_of(tmp_path)[-1].split()[:2] == ["0.3000", "test_metrics_a.json,"]


@pytest.mark.parametrize(
    "hostile",
    [
        {"provenance": [1], "selection": "val", "all_positive": 3, "data": None, "input": "x", "validation": []},
        {"provenance": {"git": "\x1b[2J\x9b31m\u202e", "\x1bkey\n": {"\x07": ["\r", None, True, 1e400]}}},
        {"provenance": {"checkpoints": [[[[[[[["deep"]]]]]]]] * 30, "long": "x" * 100_000}},
        {"selection": {f"key {number}": number for number in range(5000)}},
        {"all_positive": {"dice_pos": "none", "iou_pos": float("nan"), "recall_pos": 7}},
        {"selection": {"": "", "weights": list(range(100_000)), "asked": {"a" * 500: {"b": {"c": {"d": {"e": 1}}}}}}},
    ],
)
def test_whatever_is_in_the_file_the_lines_are_few_short_and_safe_to_show(tmp_path: Path, hostile: dict) -> None:
    path = write_artifact(tmp_path, "r", 0.4)
    path.write_text(json.dumps({**json.loads(path.read_text()), **hostile}))
    lines = lines_of(tmp_path)
    assert all(line.isprintable() for line in lines)
    assert len(lines) < 120
    assert max(map(cell_len, lines)) <= WIDTH + 1
    assert any(line.startswith(" Dice_pos") for line in lines)


def test_a_file_that_is_gone_or_broken_by_now_leaves_what_the_board_knows(tmp_path: Path) -> None:
    path = write_artifact(tmp_path, "r", 0.4, **WHOLE)
    board = rank(RunIndex(tmp_path).scan())
    row = board.rows[0]
    path.write_text("{")
    broken = run_lines(row, board, read_details(tmp_path, row.artifact.path, board.rules), NOW)
    path.unlink()
    gone = run_lines(row, board, read_details(tmp_path, row.artifact.path, board.rules), NOW)
    assert any("No such file or directory" in line for line in gone)
    assert any("not JSON" in line for line in broken)
    for lines in (gone, broken):
        assert any(line.startswith(" Dice_pos") for line in lines)
        assert entry(lines, "Threshold") == "0.49, chosen on validation"


async def test_at_80x24_it_opens_with_the_figures_and_scrolls_to_the_provenance(
    make_app: Callable[..., XrayApp],
) -> None:
    app = make_app()
    write_artifact(app.runs, "full", 0.9, **WHOLE)
    async with app.run_test(size=(80, 24)) as pilot:
        board = await opened(pilot)
        assert board.row.run == "full"
        await pilot.press("enter")
        assert "0.3500 to 0.4500" in screen_text(app)
        await pilot.press("G")
        await until(pilot, lambda: "331.08" in screen_text(app))
        await pilot.press("escape")
        assert app.screen is dashboard(app)


def train_as(runs: Path, run: str, *overrides: str) -> None:
    """Leave the config of a training of the recipe baseline_posmetric, and two epochs of events."""
    save_config(load_config(RECIPE, overrides), runs / run / CONFIG)
    events = [{"event": "start", "epochs": 2, "steps": 20, "step": 0}]
    events += [{"event": "step", "step": step, "loss": 1 / step} for step in range(1, 21)]
    events += [{"event": "epoch", "epoch": epoch, "val": {"dice_pos": epoch / 10}} for epoch in (1, 2)]
    (runs / run / EVENTS).write_text("".join(f"{json.dumps(event)}\n" for event in events))


def test_a_config_is_compared_with_the_recipe_that_it_came_from(tmp_path: Path) -> None:
    write_artifact(tmp_path, "r", 0.4)
    train_as(tmp_path, "r", "training.epochs=3")
    config = read_config(tmp_path, "r")
    assert [heading for heading, _ in config] == ["Compared with the recipe baseline_posmetric", "Config"]
    (difference,) = config[0][1]
    assert difference.startswith("training.epochs: 3 (recipe: ")
    board = rank(RunIndex(tmp_path).scan())
    lines = run_lines(board.rows[0], board, Details(), NOW, config, width=200)
    assert f"   {difference}" in lines
    assert "   training.epochs: 3" in lines
    (tmp_path / "r" / CONFIG).write_text("kind: \x1b[31m\n")
    assert "\x1b" not in read_config(tmp_path, "r")[0][1][0]
    assert read_config(tmp_path, "none") == []


async def test_the_keys_of_the_board_work_and_the_curve_and_the_newest_log_are_there(
    make_app: Callable[..., XrayApp],
) -> None:
    app = make_app()
    write_artifact(app.runs, "full", 0.9, **WHOLE)
    train_as(app.runs, "full")
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(pilot)
        newest = make_job("j9", "full", State.FAILED, cause="out of memory")
        app.post_message(JobsChanged((make_job("ja", "unet", State.RUNNING), newest)))
        await pilot.press("enter")
        curve = app.screen.query_one(CurveView)
        await until(pilot, lambda: curve.display and curve.size.height > 8)
        assert "✗ failed" in screen_text(app)
        assert "best" in screen_text(app) or "Dice_pos 0.2" in screen_text(app)
        await pilot.press("c")
        await until(pilot, lambda: curve.has_focus and curve.size.height > 30)
        await pilot.press("c", "e")
        assert isinstance(app.screen, LaunchScreen)
        await pilot.press("escape", "l")
        await until(pilot, lambda: dashboard(app).log_view.has_focus)
        assert dashboard(app).jobs.job == newest


async def test_a_run_without_jobs_and_curve_says_so(make_app: Callable[..., XrayApp]) -> None:
    app = make_app()
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(pilot)
        await pilot.press("enter", "c", "l")
        assert [note.split(":")[0] for note in notes(app)] == [
            "This run has no curve", "No job in the list belongs to this run",
        ]  # fmt: skip
