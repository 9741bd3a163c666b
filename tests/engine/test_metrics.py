"""Metrics against definitions written out, and against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("sklearn")

from sklearn.metrics import average_precision_score, roc_auc_score

from engine.evaluation.artifact import metrics_of_presence
from engine.evaluation.choose import (
    GRID,
    OPTIMISM_RESAMPLES,
    best_gate,
    best_threshold,
    mean_dice_pos,
    threshold_optimism,
)
from engine.evaluation.metrics import (
    LARGEST_CHUNK,
    Confusion,
    intervals,
    presence_metrics,
    presence_threshold,
    roc_auc_columns,
    segmentation_metrics,
    sensitivity,
)
from engine.evaluation.presence import map_scores
from engine.evaluation.scores import counts_at, dequantise, quantise
from tests.bench.bootstrap import intervals_by_resample, made_up

RANDOM = np.random.default_rng(3)


def made(images: int = 40, size: int = 24) -> tuple[np.ndarray, np.ndarray]:
    """Probability maps and masks, two thirds of the masks empty."""
    masks = np.zeros((images, size, size), bool)
    for index in range(images // 3):
        row, column = RANDOM.integers(0, size - 6, 2)
        masks[index, row : row + 5, column : column + 4] = True
    maps = np.clip(0.35 * masks + RANDOM.uniform(0, 0.7, masks.shape), 0, 1).astype(np.float32)
    return maps, masks


def counted(maps: np.ndarray, masks: np.ndarray, thresholds: np.ndarray) -> list[np.ndarray]:
    """tp, fp, fn of all images, (N, T) each."""
    each = [counts_at(quantise(map_), mask, thresholds) for map_, mask in zip(maps, masks, strict=True)]
    return [np.stack(part) for part in zip(*each, strict=True)]


def test_counts_at_many_thresholds_are_those_of_plain_comparison() -> None:
    maps, masks = made(3)
    thresholds = np.array([0.01, 0.25, 0.333333, 0.5, 0.9999])
    for levels, mask in zip(quantise(maps), masks, strict=True):
        tp, fp, fn = counts_at(levels, mask, thresholds)
        for place, threshold in enumerate(thresholds):
            predicted = dequantise(levels) >= np.float32(threshold)
            expected = ((predicted & mask).sum(), (predicted & ~mask).sum(), (~predicted & mask).sum())
            assert (tp[place], fp[place], fn[place]) == expected


def test_a_probability_on_the_threshold_is_predicted() -> None:
    levels = quantise(np.array([[0.5, 1.0, 0.0]], np.float32))
    tp, fp, _ = counts_at(levels, np.ones((1, 3), bool), [0.5, 1.0])
    assert tp.tolist() == [2, 1]
    assert fp.tolist() == [0, 0]


def test_segmentation_metrics_follow_their_definitions() -> None:
    counts = Confusion(*(np.array(values) for values in ([8, 0, 0, 0], [2, 0, 10, 0], [0, 5, 0, 0], [100] * 4)))
    metrics = segmentation_metrics(counts)
    assert metrics["dice_pos"] == pytest.approx((16 / 18 + 0) / 2, abs=1e-6)
    assert metrics["iou_pos"] == pytest.approx((8 / 10 + 0) / 2, abs=1e-6)
    assert metrics["precision_pos"] == pytest.approx(8 / 20)
    assert metrics["recall_pos"] == pytest.approx(8 / 13)
    assert metrics["dice"] == pytest.approx((16 / 18 + 0 + 0 + 1) / 4, abs=1e-6)
    assert metrics["missed_pos"] == 0.5
    assert metrics["fp_area_neg"] == pytest.approx((0.1 + 0) / 2)
    assert metrics["recall_pos_mean"] == 0.5
    nothing = segmentation_metrics(Confusion(*(np.array(values) for values in ([0], [0], [5], [100]))))
    assert "precision_pos" not in nothing
    assert nothing["recall_pos"] == 0
    assert metrics["precision_pos_mean"] == pytest.approx(0.8)


def test_a_split_without_positives_has_no_dice_on_positives() -> None:
    counts = Confusion(*(np.array(values) for values in ([0, 0], [2, 0], [0, 0], [100] * 2)))
    metrics = segmentation_metrics(counts)
    assert "dice_pos" not in metrics
    assert presence_metrics(np.array([0.1, 0.2]), np.array([False, False])) == {}


def test_presence_metrics_are_those_of_scikit_learn() -> None:
    fractured = RANDOM.uniform(size=60) < 0.3
    scores = RANDOM.uniform(size=60) + 0.3 * fractured
    found = presence_metrics(scores, fractured)
    assert found["roc_auc_presence"] == roc_auc_score(fractured, scores)
    assert found["average_precision_presence"] == average_precision_score(fractured, scores)


def test_the_roc_auc_of_many_columns_is_scikit_learns_ties_included() -> None:
    fractured = RANDOM.uniform(size=50) < 0.4
    scores = np.round(RANDOM.uniform(size=(50, 7)), 1)
    expected = [roc_auc_score(fractured, column) for column in scores.T]
    assert roc_auc_columns(scores, fractured) == pytest.approx(expected)


def test_the_presence_threshold_keeps_its_specificity_and_no_lower_one_does() -> None:
    fractured = np.array([False] * 20 + [True] * 5)
    scores = np.concatenate([np.arange(20) / 20, [0.5, 0.86, 0.9, 0.99, 0.2]])
    cut = presence_threshold(scores, fractured)
    assert (scores[:20] <= cut).mean() >= 0.9
    assert (scores[:20] <= np.nextafter(cut, 0)).mean() < 0.9
    assert sensitivity(scores, fractured, cut) == 3 / 5


def test_a_presence_metric_that_lacks_a_class_is_left_out_and_not_0() -> None:
    scores, both, positives = np.linspace(0, 1, 6), np.arange(6) % 2 == 0, np.ones(6, bool)
    without_negatives = presence_threshold(scores, positives)
    assert metrics_of_presence(scores, both, without_negatives).keys() == {
        "roc_auc_presence",
        "average_precision_presence",
    }
    assert metrics_of_presence(scores, ~positives, 0.5) == {}
    assert metrics_of_presence(scores, positives, 0.5) == {"sensitivity_at_90_specificity": 0.5}


def test_the_tuned_threshold_is_the_best_of_the_grid() -> None:
    maps, masks = made()
    tp, fp, fn = counted(maps, masks, GRID)
    dice = mean_dice_pos(tp, fp, fn)
    place = best_threshold(tp, fp, fn)
    assert dice[place] == dice.max()
    positive = masks.any((1, 2))
    predicted = dequantise(quantise(maps[positive])) >= np.float32(GRID[place])
    by_hand = 2 * (predicted & masks[positive]).sum((1, 2)) / (predicted.sum((1, 2)) + masks[positive].sum((1, 2)))
    assert dice[place] == pytest.approx(by_hand.mean(), abs=1e-5)


def varied(times: int = 1) -> Confusion:
    """The counts at all thresholds of 20 positive images whose best thresholds differ, and of 10 negative ones, each
    image `times` times."""
    random = np.random.default_rng(1)
    middle, steepness, area = random.uniform(0.2, 0.9, (30, 1)), random.uniform(4, 12, (30, 1)), np.full((30, 1), 200)
    area[20:] = 0
    tp = np.rint(area / (1 + np.exp(steepness * (GRID - middle)))).astype(int)
    fp = np.rint(300 * (1 - GRID) ** random.uniform(1, 8, (30, 1))).astype(int)
    return Confusion(tp, fp, area - tp, np.full(30, 4096))[np.repeat(np.arange(30), times)]


def test_the_optimism_of_a_threshold_is_what_tuning_each_resample_by_itself_gives() -> None:
    counts = varied()
    times = np.random.default_rng(5).multinomial(20, np.full(20, 1 / 20), size=OPTIMISM_RESAMPLES)
    dice, tuned = mean_dice_pos(counts.tp, counts.fp, counts.fn), best_threshold(counts.tp, counts.fp, counts.fn)
    differences = []
    for row in times:
        drawn = counts[np.repeat(np.arange(20), row)]
        of_drawn, index = mean_dice_pos(drawn.tp, drawn.fp, drawn.fn), best_threshold(drawn.tp, drawn.fp, drawn.fn)
        differences.append((of_drawn[index] - dice[index]) - (of_drawn[tuned] - dice[tuned]))
    optimism = threshold_optimism(counts, [f"{index:02}" for index in range(30)], seed=5)
    assert optimism == pytest.approx(np.mean(differences), abs=1e-12)
    assert min(differences) >= -1e-12
    assert 0.001 < np.mean(differences) < 0.05


def test_the_optimism_draws_a_patients_images_together_and_shrinks_with_more_images() -> None:
    once = threshold_optimism(varied(), [f"{index:02}" for index in range(30)])
    together = threshold_optimism(varied(4), [f"{index // 4:02}" for index in range(120)])
    alone = threshold_optimism(varied(4), [None] * 120)
    assert once is not None
    assert alone is not None
    assert together == pytest.approx(once)
    assert 0 < alone < once / 2
    assert threshold_optimism(varied()[np.arange(20, 30)], [None] * 10) is None


def test_the_tuned_gate_is_the_best_of_all_gates() -> None:
    tp = np.array([5, 0, 0, 0, 4, 0])
    counts = Confusion(tp, np.array([1, 3, 0, 2, 1, 9]), np.array([1, 0, 0, 0, 0, 3]), np.full(6, 50))
    scores = np.array([0.9, 0.2, 0.1, 0.5, 0.5, 0.4])
    gate = best_gate(counts, scores)
    values = {level: segmentation_metrics(counts.gated(scores >= level))["dice"] for level in np.unique(scores)}
    assert values[gate] == max(values.values())


def test_a_gate_empties_masks_below_it() -> None:
    counts = Confusion(*(np.array(values) for values in ([3, 4], [1, 1], [2, 0], [9, 9])))
    gated = counts.gated(np.array([False, True]))
    assert (gated.tp.tolist(), gated.fp.tolist(), gated.fn.tolist()) == ([0, 4], [0, 1], [5, 0])


def test_presence_scores_of_a_map() -> None:
    values = map_scores((np.arange(10_000, dtype=np.float32) / 10_000).reshape(100, 100))
    assert values["max"] == pytest.approx(0.9999)
    assert values["mean"] == pytest.approx(0.49995)
    assert values["topk_mean"] == pytest.approx(np.arange(9900, 10_000).mean() / 10_000)


def test_intervals_hold_the_estimate_and_are_wider_for_patients_than_for_images() -> None:
    maps, masks = made(60)
    fractured = masks.any((1, 2))
    tp, fp, fn = (part[:, 0] for part in counted(maps, masks, np.array([0.5])))
    counts, scores = Confusion(tp, fp, fn, np.full(60, 576)), maps.max((1, 2)).astype(float)
    by_image = intervals(counts, scores, fractured, [None] * 60, 300)
    low, high = by_image["dice_pos"]
    assert low < segmentation_metrics(counts)["dice_pos"] < high
    assert by_image == intervals(counts, scores, fractured, [None] * 60, 300)
    by_patient = intervals(counts, scores, fractured, [str(index // 6) for index in range(60)], 300)
    assert by_patient["dice"][1] - by_patient["dice"][0] > by_image["dice"][1] - by_image["dice"][0]


@pytest.mark.parametrize("images", [12, 90, 1000])
@pytest.mark.parametrize("by_patient", [False, True])
@pytest.mark.parametrize("has_masks", [True, False])
def test_intervals_are_those_of_one_scikit_learn_call_for_each_resample(
    images: int, by_patient: bool, has_masks: bool
) -> None:
    """Scores have ties, and at 1000 images the resamples are drawn in more than one part."""
    counts, scores = made_up(images, np.random.default_rng(images))
    fractured = counts.positive
    groups = [None if index % 4 == 0 or not by_patient else str(index // 3) for index in range(images)]
    given = (counts if has_masks else None, scores, fractured, groups, 200, 5)
    found, expected = intervals(*given), intervals_by_resample(*given)
    assert LARGEST_CHUNK < 200 * 1000
    assert found.keys() == expected.keys()
    assert len(expected) == (7 if has_masks else 2)
    for name, interval in expected.items():
        assert found[name] == pytest.approx(interval, abs=1e-9), name


@pytest.mark.parametrize("positives", [0, 1, 2, 8])
@pytest.mark.parametrize("size", [1, 4])
def test_a_resample_without_a_class_has_no_presence_metric(positives: int, size: int) -> None:
    """Patients of `size` images. With one positive patient of eight, a third of the resamples lack positives."""
    fractured = np.repeat(np.arange(8) < positives, size)
    counts, scores = made_up(len(fractured), np.random.default_rng(positives))
    area = np.where(fractured, 50, 0)
    counts = Confusion(np.minimum(counts.tp, area), counts.fp, area - np.minimum(counts.tp, area), counts.pixels)
    groups = [str(index // size) for index in range(len(fractured))]
    found = intervals(counts, scores, fractured, groups, 200)
    expected = intervals_by_resample(counts, scores, fractured, groups, 200)
    assert found.keys() == expected.keys()
    assert ("roc_auc_presence" in found) == (positives not in (0, 8))
    for name, interval in expected.items():
        assert found[name] == pytest.approx(interval, abs=1e-9), name


def test_the_presence_metrics_of_a_missing_class_are_missing() -> None:
    scores = np.array([[0.1, 0.4], [0.2, 0.3]])
    for fractured in (np.array([True, True]), np.array([False, False])):
        assert np.isnan(roc_auc_columns(scores, fractured)).all()
        assert presence_metrics(scores[:, 0], fractured) == {}
