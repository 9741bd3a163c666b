"""`xray-engine compare`: differences, intervals and p-values on the same images, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from engine.cli import main
from engine.contract.errors import BadInput
from engine.results.compare import compare, read_result, to_markdown


def write_run(folder: Path, dice: list[float], config: str, negatives: int = 20, shift: float = 0.0) -> Path:
    """A run with one test artifact: a Dice for each positive image, whose masks have 100 pixels each."""
    folder.mkdir(parents=True)
    lines = ["id,fractured,dice,iou,tp,fp,fn,presence_score"]
    exact = []
    for index, value in enumerate(dice):
        tp = round(100 * value)
        exact.append(2 * tp / (2 * tp + 200 - 2 * tp))
        iou = tp / (200 - tp)
        lines.append(f"p{index},1,{exact[-1]:.6f},{iou:.6f},{tp},{100 - tp},{100 - tp},{0.5 + index / 100 + shift}")
    lines += [f"n{index},0,,,0,{index},0,{index / 40}" for index in range(negatives)]
    (folder / "test_metrics.images.csv").write_text("\n".join(lines) + "\n")
    artifact = {
        "schema": "xray-test-metrics/1",
        "dice_pos": float(np.mean(exact)),
        "roc_auc_presence": 0.8,
        "validation": {"dice_pos": 0.3},
        "per_image": "test_metrics.images.csv",
    }
    (folder / "test_metrics.json").write_text(json.dumps(artifact))
    (folder / "config.yaml").write_text(config)
    return folder


def test_a_clear_difference_is_significant_and_noise_is_not(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    base = draw.uniform(0.2, 0.6, 40)
    first = write_run(tmp_path / "a", [*base], "seed: 1\n")
    better = write_run(tmp_path / "b", [*(base + 0.1)], "seed: 2\n")
    noisy = write_run(tmp_path / "c", [*(base + draw.normal(0, 0.05, 40))], "seed: 3\n")
    found = compare([first, better, noisy])
    gain, noise = found["differences"]
    assert gain["metrics"]["dice_pos"]["difference"] == pytest.approx(0.1, abs=0.005)
    low, high = gain["metrics"]["dice_pos"]["interval"]
    assert 0.09 < low < high < 0.11
    assert (gain["won"], gain["lost"]) == (40, 0)
    assert gain["p_dice_pos"] == pytest.approx(2 / 10_001)  # the smallest possible, times two by Holm
    assert noise["p_dice_pos"] > 0.05
    low, high = noise["metrics"]["dice_pos"]["interval"]
    assert low < 0 < high
    assert noise["won"] + noise["lost"] <= 40
    assert "p0" in to_markdown(found) or "`p" in to_markdown(found)


def test_the_interval_is_that_of_a_paired_bootstrap(tmp_path: Path) -> None:
    draw = np.random.default_rng(1)
    ours, theirs = np.round(draw.uniform(0.2, 0.6, 30), 2), np.round(draw.uniform(0.2, 0.6, 30), 2)
    found = compare([write_run(tmp_path / "a", [*ours], ""), write_run(tmp_path / "b", [*theirs], "")], resamples=4000)
    differences = theirs - ours
    means = [draw.choice(differences, 30).mean() for _ in range(4000)]
    expected = np.percentile(means, (2.5, 97.5))
    assert found["differences"][0]["metrics"]["dice_pos"]["interval"] == pytest.approx(expected, abs=0.01)


def test_config_keys_that_differ_tell_absent_null_zero_and_false_apart(tmp_path: Path) -> None:
    first = write_run(tmp_path / "a", [0.3, 0.4], "x: null\ny: 0\nsame: 1\nname: a\n")
    second = write_run(tmp_path / "b", [0.3, 0.5], "y: false\nsame: 1\nname: b\n")
    found = compare([first, second])
    assert found["config"] == {"x": ["null", "(absent)"], "y": ["0", "false"]}


def test_a_table_that_contradicts_its_artifact_is_refused_with_both_numbers(tmp_path: Path) -> None:
    first, second = write_run(tmp_path / "a", [0.3, 0.4], ""), write_run(tmp_path / "b", [0.3, 0.5], "")
    artifact = json.loads((second / "test_metrics.json").read_text())
    (second / "test_metrics.json").write_text(json.dumps(artifact | {"dice_pos": 0.45}))
    with pytest.raises(BadInput, match=r"dice_pos 0.450000, but its table has 0.400000; evaluate it again"):
        compare([first, second])


def test_other_images_are_refused_by_name(tmp_path: Path) -> None:
    first = write_run(tmp_path / "a", [0.3, 0.4], "")
    second = write_run(tmp_path / "b", [0.3, 0.4, 0.5], "")
    with pytest.raises(BadInput, match="1 images are not in both tables: p2"):
        compare([first, second])


def test_real_runs_are_compared_from_the_command_line(
    runs_copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = [str(runs_copy / name) for name in ("plain", "dual")]
    assert main(["compare", *runs]) == 2
    assert "no test artifact; evaluate the run first" in capsys.readouterr().err
    for run in runs:
        assert main(["evaluate", "--run", run]) == 0
    assert main(["compare", *runs, "--output", str(tmp_path / "c.json")]) == 0
    found = json.loads((tmp_path / "c.json").read_text())
    assert found["differences"][0]["run"] == "dual"
    assert "model.classification_head.hidden" in found["config"]
    assert main(["compare", *runs, "--output", str(tmp_path / "c.csv")]) == 0
    assert (tmp_path / "c.csv").read_text().startswith("run,metric,difference,low,high,p\ndual,dice_pos,")
    assert main(["compare", *runs, "--output", str(tmp_path / "c.txt")]) == 2


def test_an_artifact_of_an_older_tool_is_named_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "test_metrics.json").write_text('{"dice_pos": 0.3}')
    with pytest.raises(BadInput, match=r"test_metrics.json: names no per-image table; evaluate the run again"):
        read_result(tmp_path / "test_metrics.json")
