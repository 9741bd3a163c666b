"""Pictures of test images: outlines, the figures of an artifact, the page of cases and the server of the app."""

from __future__ import annotations

import base64
import json
import queue
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from engine.cli import main
from engine.contract.errors import BadInput
from engine.results.pictures import (
    MASK_COLOUR,
    PREDICTION_COLOUR,
    Pictures,
    box_around,
    dice_of,
    draw,
    outline,
)
from xray_tui.feeds.picture_process import Cases, Drawing, PictureProcess, Request


@pytest.fixture
def evaluated(runs_copy: Path) -> Path:
    """Two evaluated runs and their blend."""
    members = [str(runs_copy / name) for name in ("plain", "dual")]
    for member in members:
        assert main(["evaluate", "--run", member, "--tta", "hv"]) == 0
    assert main(["blend", "--members", *members, "--run", str(runs_copy / "both"), "--tta", "hv"]) == 0
    return runs_copy


@pytest.mark.parametrize("run", ["plain", "dual", "both"])
def test_the_prediction_shown_has_the_dice_of_the_table(evaluated: Path, run: str) -> None:
    pictures = Pictures(next((evaluated / run).glob("test_metrics*.json")))
    positives = pictures.cases[pictures.cases.fractured == 1]
    assert len(positives) > 0
    for identity, case in positives.iterrows():
        predicted = pictures.probabilities(str(identity)) >= pictures.threshold
        assert dice_of(pictures.mask(str(identity)), predicted) == pytest.approx(case.dice, abs=0.005)


def test_an_outline_runs_along_the_inside_and_not_along_the_border() -> None:
    area = np.zeros((8, 8), bool)
    area[:, 2:6] = True
    expected = np.zeros((8, 8), bool)
    expected[:, [2, 5]] = True
    assert (outline(area) == expected).all()
    assert (outline(area, width=2) == area).all()


def test_both_outlines_are_drawn_in_their_colours_at_the_asked_size() -> None:
    image, mask, predicted = np.full((40, 80), 100, np.uint8), np.zeros((40, 80), bool), np.zeros((40, 80), bool)
    mask[10:20, 10:20] = True
    predicted[10:20, 50:70] = True
    drawn = draw(image, mask, predicted, (20, 40))
    assert drawn.shape == (20, 40, 3)
    assert (drawn[5:10, 5:10] == MASK_COLOUR).all(-1).sum() == 16  # solid: the border of 5 x 5 pixels
    dashed = (drawn[5:10, 25:35] == PREDICTION_COLOUR).all(-1).sum()
    assert 8 <= dashed <= 18  # about half of the border of 5 x 10 pixels
    assert box_around(mask) == (0, 0, 31, 31)
    assert box_around(np.zeros((4, 4), bool)) is None


def test_ignored_pixels_are_neither_outlined_nor_counted() -> None:
    image, labels, predicted = np.full((40, 80), 100, np.uint8), np.zeros((40, 80), np.int8), np.zeros((40, 80), bool)
    labels[10:20, 10:20], labels[10:20, 50:70] = 1, -1
    predicted[10:20, 10:15] = predicted[10:20, 50:70] = True
    plain = labels == 1
    assert np.array_equal(draw(image, labels, predicted, (20, 40)), draw(image, plain, predicted, (20, 40)))
    assert box_around(labels) == box_around(plain)
    assert dice_of(labels, predicted) == 2 * 50 / 150
    assert dice_of(np.minimum(labels, 0), labels < 0) is None


def test_without_probabilities_the_command_that_makes_them_is_named(evaluated: Path) -> None:
    artifact = next((evaluated / "plain").glob("test_metrics*.json"))
    (evaluated / "plain/predictions/test_hv/index.json").unlink()
    with pytest.raises(
        BadInput, match=r"no probabilities of this checkpoint; `xray-engine evaluate --run .*plain --tta hv` makes"
    ):
        Pictures(artifact)


def test_the_page_shows_the_worst_first_and_only_its_owner_reads_it(evaluated: Path, tmp_path: Path) -> None:
    page = tmp_path / "cases.html"
    assert main(["cases", str(evaluated / "plain"), "--worst", "2", "--output", str(page)]) == 0
    text = page.read_text()
    table = pd.read_csv(next((evaluated / "plain").glob("*.images.csv")), index_col="id")
    worst = [*table[table.fractured == 1].dice.sort_values(kind="stable").index[:2]]
    assert re.findall(r"<figcaption>(\w+):", text) == worst
    assert page.stat().st_mode & 0o777 == 0o600
    assert str(tmp_path) not in text
    assert main(["cases", str(evaluated / "plain"), "--against", str(evaluated / "dual"), "--output", str(page)]) == 0
    assert "against dual" in page.read_text()


def test_the_server_draws_what_is_asked_and_reports_what_it_cannot(evaluated: Path) -> None:
    command = [sys.executable, "-m", "engine.cli", "pictures", str(evaluated / "dual")]
    asked = ['{"id": "nobody", "rows": 9, "columns": 9, "threshold": 0.5}', "no json"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    first = json.loads(process.stdout.readline())
    case = next(case for case in first["cases"] if case["fractured"])
    asked.append(
        json.dumps({"id": case["id"], "rows": 30, "columns": 50, "threshold": first["threshold"], "zoom": True})
    )
    out, _ = process.communicate("\n".join(asked) + "\n", timeout=60)
    unknown, broken, drawn = map(json.loads, out.splitlines())
    assert "nobody: not among the test images" in unknown["error"]
    assert "error" in broken
    assert drawn["dice"] == pytest.approx(case["dice"], abs=0.005)
    assert len(base64.b64decode(drawn["pixels"])) == 3 * drawn["rows"] * drawn["columns"]
    assert max(drawn["rows"] / 30, drawn["columns"] / 50) == 1
    assert process.returncode == 0


def test_the_app_gets_pictures_of_the_newest_request(evaluated: Path) -> None:
    received: queue.Queue[Cases | Drawing | str] = queue.Queue()
    process = PictureProcess(evaluated / "dual", received.put)
    cases = received.get(timeout=60)
    assert isinstance(cases, Cases)
    case = next(case for case in cases.by_id.values() if case.fractured)
    process.ask(Request(case.id, 40, 60, cases.threshold, True))
    drawing = received.get(timeout=60)
    assert isinstance(drawing, Drawing)
    assert drawing.dice == pytest.approx(case.dice, abs=0.005)
    assert len(drawing.pixels) == 3 * drawing.rows * drawing.columns
    process.ask(Request("nobody", 40, 60, 0.5, False))
    assert "not among the test images" in received.get(timeout=60).problem  # type: ignore[union-attr]
    process.stop()
