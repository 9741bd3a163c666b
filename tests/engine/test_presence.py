"""Presence scores: registered by name, each one function, found where they are asked for."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import numpy as np
import pytest

pytest.importorskip("sklearn")

from engine.contract import names
from engine.contract.config import BlendConfig
from engine.evaluation.presence import HEAD, OF_AREA, OF_MAP, map_scores, of_map, without_head

RANDOM = np.random.default_rng(2)


def test_what_is_registered_is_what_configs_may_name() -> None:
    registered = {HEAD, *without_head()}
    assert registered == set(get_args(names.Presence)) - {"auto"}
    blends = BlendConfig.model_json_schema()["properties"]["presence_sources"]["items"]["enum"]
    assert registered == set(blends)


def test_scores_of_a_map_are_what_their_names_say() -> None:
    probabilities = RANDOM.random((30, 20)).astype(np.float32)
    scores = map_scores(probabilities)
    ordered = sorted(probabilities.ravel().tolist())
    assert scores["max"] == ordered[-1]
    assert scores["mean"] == pytest.approx(sum(ordered) / 600)
    assert scores["topk_mean"] == pytest.approx(sum(ordered[-6:]) / 6)
    assert OF_AREA["pred_area"](np.array([0, 150, 600]), np.array([600])).tolist() == [0, 0.25, 1]


def test_a_new_score_is_one_function_with_a_decorator(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It is measured wherever maps are, and `auto` takes it where it is the best on validation."""
    from PIL import Image

    from engine.data.manifest import Sample
    from engine.evaluation.choose import choose
    from engine.evaluation.scores import score_split

    monkeypatch.setitem(OF_MAP, "corner", OF_MAP["max"])  # and is gone again behind this test

    @of_map("corner")
    def corner(probabilities: np.ndarray) -> float:
        return float(probabilities[0, 0])

    samples, maps = [], []
    for place in range(12):
        fractured = place % 3 == 0
        Image.fromarray(np.zeros((16, 16), np.uint8)).save(tmp_path / f"{place}.png")
        mask = np.zeros((16, 16), np.uint8)
        mask[4:8, 4:8] = 255
        Image.fromarray(mask).save(tmp_path / f"{place}_mask.png")
        own = tmp_path / f"{place}_mask.png" if fractured else None
        samples.append(Sample(f"{place}", tmp_path / f"{place}.png", own, fractured, "val"))
        maps.append(RANDOM.uniform(0.2, 0.8, (16, 16)).astype(np.float32))
        maps[-1][0, 0] = 0.7 if fractured else 0.3
    scores = score_split(samples, lambda index, *_: maps[index], 16, False, np.array([0.5]), None, "val")
    assert scores.presence["corner"].tolist() == pytest.approx([float(each[0, 0]) for each in maps])
    assert choose(scores, 0.5, "auto", "none").presence_source == "corner"
    assert choose(scores, 0.5, "auto", "none", trained="mean").presence_source == "mean", "what a loss has trained"
