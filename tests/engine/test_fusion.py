"""Fusion of presence scores: gamma and scale chosen on validation, applied once to test."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.cli import main
from engine.contract.config import BlendConfig

pytestmark = pytest.mark.usefixtures("engine_extra")

RANDOM = np.random.default_rng(11)


def blend(runs: Path, *more: str, members: tuple[str, ...] = ("plain", "dual"), other: str = "classifier") -> int:
    named = [str(runs / member) for member in members]
    fused = ["--set", f"presence_run={runs / other}", "--set", "bootstrap=0"]
    return main(["blend", "--members", *named, "--run", str(runs / "fused"), "--tta", "none", *fused, *more])


def artifact(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "test_metrics_tuned.json").read_text())
    return found


def scores_in(table: Path) -> dict[str, float]:
    with table.open() as file:
        return {row["id"]: float(row["presence_score"]) for row in csv.DictReader(file)}


def test_the_artifact_says_whose_presence_was_mixed_in_and_by_how_much(with_classifier: Path) -> None:
    assert blend(with_classifier, "--set", "gamma_step=0.25") == 0
    run = with_classifier / "fused"
    found = artifact(run)
    chosen = found["selection"]
    assert chosen["presence_run"] == "../classifier"
    assert chosen["gamma"] in (0.0, 0.25, 0.5, 0.75, 1.0)
    assert chosen["presence_source"] in ("cls", "max", "topk_mean", "pred_area")
    assert (chosen["presence_scale"] is None) is (chosen["presence_source"] == "cls")
    assert "../classifier/checkpoints/best.pt" in [item["path"] for item in found["provenance"]["checkpoints"]]
    assert "presence_run: ../classifier" in (run / "config.yaml").read_text()
    from sklearn.metrics import roc_auc_score

    scores = scores_in(run / found["per_image"])
    with (run / found["per_image"]).open() as file:
        labels = {row["id"]: int(row["fractured"]) for row in csv.DictReader(file)}
    assert found["roc_auc_presence"] == roc_auc_score(list(labels.values()), list(scores.values()))


def test_a_fused_blend_is_on_validation_no_worse_than_without_and_than_the_classifier(
    with_classifier: Path,
) -> None:
    assert main(["evaluate", "--run", str(with_classifier / "classifier"), "--tta", "none", "--bootstrap", "0"]) == 0
    alone = json.loads((with_classifier / "classifier" / "test_metrics.json").read_text())
    members = ["--members", str(with_classifier / "plain"), str(with_classifier / "dual"), "--tta", "none"]
    assert main(["blend", *members, "--run", str(with_classifier / "without"), "--set", "bootstrap=0"]) == 0
    assert blend(with_classifier) == 0
    fused, without = (artifact(with_classifier / run)["validation"] for run in ("fused", "without"))
    joint = [each["dice_pos"] + each["roc_auc_presence"] for each in (fused, without)]
    assert joint[0] >= joint[1] - 1e-9
    assert joint[0] >= without["dice_pos"] + alone["validation"]["roc_auc_presence"] - 1e-9


@pytest.mark.parametrize("source", ["cls", "pred_area"])
def test_test_scores_follow_from_the_two_runs_and_validations_choice(source: str, with_classifier: Path) -> None:
    """Nothing of the test split enters: its scores are made of both runs' own by the numbers in the artifact."""
    for run in ("dual", "classifier"):
        given = ["--tta", "none", "--bootstrap", "0", *([] if run == "classifier" else ["--presence", source])]
        threshold = [] if run == "classifier" else ["--threshold", "0.3"]
        assert main(["evaluate", "--run", str(with_classifier / run), *given, *threshold]) == 0
    assert blend(with_classifier, "--set", f"presence_sources=[{source}]", "--set", "objective=roc_auc_presence",
                 members=("dual",)) == 0  # fmt: skip
    found = artifact(with_classifier / "fused")
    other = scores_in(with_classifier / "classifier" / "test_metrics.images.csv")
    fused = scores_in(with_classifier / "fused" / found["per_image"])
    gamma, scale = found["selection"]["gamma"], found["selection"]["presence_scale"]
    if source == "cls":
        own = scores_in(with_classifier / "dual" / "test_metrics_thr030_cls.images.csv")
    else:
        assert main(["evaluate", "--run", str(with_classifier / "dual"), "--tta", "none", "--bootstrap", "0",
                     "--presence", source, "--threshold", str(found["threshold"])]) == 0  # fmt: skip
        digits = f"{found['threshold']:.2f}".replace(".", "")
        area = scores_in(with_classifier / "dual" / f"test_metrics_thr{digits}_area.images.csv")
        odds = {name: np.clip(value, 1e-6, 1 - 1e-6) for name, value in area.items()}
        own = {name: 1 / (1 + ((1 - p) / p) ** scale[0] * np.exp(-scale[1])) for name, p in odds.items()}
    for name, score in fused.items():
        assert score == pytest.approx((1 - gamma) * own[name] + gamma * other[name], abs=1e-6), name


def test_any_run_with_a_head_may_be_mixed_in_and_one_without_is_refused(
    with_classifier: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert blend(with_classifier, members=("plain",), other="dual") == 0
    found = artifact(with_classifier / "fused")
    assert found["selection"]["members"] == ["../plain"]
    assert found["selection"]["weights"] == [1.0]
    assert found["selection"]["presence_run"] == "../dual"
    other = ["--set", f"presence_run={with_classifier / 'plain'}"]
    members = ["--members", str(with_classifier / "dual"), "--run", str(with_classifier / "b"), "--tta", "none"]
    assert main(["blend", *members, *other]) == 2
    assert "has no classification head; give a classifier, or a run with one" in capsys.readouterr().err
    assert not (with_classifier / "b").exists()


def test_a_presence_run_of_other_data_is_refused_before_anything_is_written(
    with_classifier: Path, synthetic: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = synthetic.read_text().splitlines()
    dropped = next(row for row in rows if row.endswith(",test"))
    other = synthetic.with_name("fewer_for_the_classifier.csv")
    other.write_text("\n".join(row for row in rows if row != dropped) + "\n")
    config = with_classifier / "classifier" / "config.yaml"
    config.write_text(config.read_text().replace(str(synthetic), str(other)))
    status = blend(with_classifier)
    other.unlink()
    assert status == 2
    assert "whose test images differ; restore it" in capsys.readouterr().err
    assert not (with_classifier / "fused").exists()


def test_the_order_of_the_classifiers_manifest_does_not_matter(with_classifier: Path, synthetic: Path) -> None:
    assert blend(with_classifier) == 0
    expected = artifact(with_classifier / "fused")
    rows = synthetic.read_text().splitlines()
    other = synthetic.with_name("backwards_for_the_classifier.csv")
    other.write_text("\n".join([rows[0], *reversed(rows[1:])]) + "\n")
    config = with_classifier / "classifier" / "config.yaml"
    config.write_text(config.read_text().replace(str(synthetic), str(other)))
    assert blend(with_classifier) == 0
    other.unlink()
    found = artifact(with_classifier / "fused")
    for name in ("roc_auc_presence", "average_precision_presence", "dice_pos"):
        assert found[name] == pytest.approx(expected[name]), name


def test_a_blend_of_one_run_needs_something_to_mix_in(runs_copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["blend", "--members", str(runs_copy / "dual"), "--run", str(runs_copy / "alone")]) == 2
    assert "two runs or more, or one and presence_run" in capsys.readouterr().err


def test_scaled_scores_are_the_probabilities_of_a_logistic_regression() -> None:
    from sklearn.linear_model import LogisticRegression

    from engine.blending.calibration import fit_scale, to_probability

    fractured = RANDOM.random(300) < 0.2
    odds = RANDOM.normal(-3, 1, (300, 4)) + fractured[:, None] * np.array([0.5, 1.0, 3.0, 6.0])
    scores = 1 / (1 + np.exp(-odds))
    scale = fit_scale(scores, fractured)
    ones, zeros = int(fractured.sum()), int((~fractured).sum())
    targets = np.where(fractured, (ones + 1) / (ones + 2), 1 / (zeros + 2))
    for column in range(4):
        twice, labels = np.tile(odds[:, column], 2)[:, None], np.repeat([1, 0], 300)
        weights = np.concatenate([targets, 1 - targets])
        theirs = LogisticRegression(C=1e12, tol=1e-10, max_iter=1000).fit(twice, labels, sample_weight=weights)
        assert scale[0, column] == pytest.approx(theirs.coef_[0, 0], rel=1e-4)
        expected = theirs.predict_proba(odds[:, [column]])[:, 1]
        assert np.allclose(to_probability(scores[:, column], scale[:, column]), expected, atol=1e-5)


def test_scaling_keeps_the_order_of_scores_and_makes_their_mean_the_share_of_fractures() -> None:
    from engine.blending.calibration import fit_scale, to_probability

    fractured = RANDOM.random(500) < 0.18
    areas = np.where(RANDOM.random(500) < 0.4, 0.0, RANDOM.random(500) * 0.02 + 0.01 * fractured)
    scaled = to_probability(areas[:, None], fit_scale(areas[:, None], fractured))[:, 0]
    assert np.array_equal(np.argsort(areas, kind="stable"), np.argsort(scaled, kind="stable"))
    assert scaled.mean() == pytest.approx(fractured.mean(), abs=0.01)


@pytest.mark.parametrize(
    "scores",
    [np.linspace(0.9, 0.1, 40), np.full(40, 0.3), np.zeros(40), np.ones(40)],
    ids=["the wrong way round", "constant", "zero", "one"],
)
def test_a_score_that_is_no_better_than_chance_says_the_same_of_every_image(scores: np.ndarray) -> None:
    from engine.blending.calibration import fit_scale, to_probability

    fractured = np.arange(40) >= 30
    scaled = to_probability(scores, fit_scale(scores[:, None], fractured)[:, 0])
    assert np.ptp(scaled) == 0
    assert scaled[0] == pytest.approx(0.25, abs=0.02)


def test_a_score_without_a_fault_has_a_finite_scale() -> None:
    from engine.blending.calibration import fit_scale, to_probability

    fractured = np.arange(200) >= 180
    for scores in (np.where(fractured, 1.0, 0.0), np.linspace(0, 1, 200), np.linspace(0.4, 0.6, 200)):
        scale = fit_scale(scores[:, None], fractured)
        assert np.isfinite(scale).all()
        scaled = to_probability(scores, scale[:, 0])
        assert scaled[fractured].min() > scaled[~fractured].max()


def test_gamma_is_the_best_of_its_grid_and_the_smallest_of_equals() -> None:
    from sklearn.metrics import roc_auc_score

    from engine.blending.calibration import Fusion, gamma_grid

    fractured = np.arange(60) % 4 == 0
    own, other = (0.3 + 0.1 * fractured + RANDOM.normal(0, 0.2, 60) for _ in range(2))
    auc, gamma = Fusion(other, gamma_grid(0.1), fractured).best(own[:, None])
    by_hand = [roc_auc_score(fractured, (1 - g) * own + g * other) for g in np.linspace(0, 1, 11)]
    assert auc[0] == pytest.approx(max(by_hand))
    assert gamma[0] == pytest.approx(np.argmax(by_hand) / 10)
    assert Fusion(own, gamma_grid(0.1), fractured).best(own[:, None])[1][0] == 0, "the same scores again: none of them"


def test_gammas_step_is_that_of_the_config() -> None:
    from engine.blending.calibration import gamma_grid

    assert np.allclose(gamma_grid(BlendConfig().gamma_step), np.linspace(0, 1, 11))
    assert np.allclose(gamma_grid(0.25), [0, 0.25, 0.5, 0.75, 1])
