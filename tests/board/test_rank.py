"""Which artifact stands for a run, in which order, and what a reader is told beside the figures."""

from __future__ import annotations

from pathlib import Path

import pytest

from xray_tui.board.model import Board
from xray_tui.board.rank import best, order

from .place import board_of, put


def runs_of(board: Board) -> list[str]:
    return [row.run for row in board.rows]


def test_the_board_is_ordered_by_the_primary_metric_then_by_name(generated_runs: Path) -> None:
    board = board_of(generated_runs)
    assert runs_of(board) == [
        "blend",
        "seeds/seed_1",
        "seeds/seed_2",
        "seeds/seed_3",
        "v1",
        "no_presence",
        "reference_test_metrics",
    ]
    assert [row.rank for row in board.rows] == [1, 2, 3, 4, 5, 6, 7]


def test_equal_runs_stand_in_the_order_of_their_names(runs: Path) -> None:
    for name in ("b", "a", "c"):
        put(runs / name / "test_metrics.json", {"dice_pos": 0.3})
    assert runs_of(board_of(runs)) == ["a", "b", "c"]


def test_a_run_stands_by_its_best_artifact_and_says_of_how_many(runs: Path) -> None:
    put(runs / "a/test_metrics.json", {"dice_pos": 0.3})
    put(runs / "a/test_metrics_tta_hv.json", {"dice_pos": 0.4})
    put(runs / "a/test_metrics_tuned.json", {"dice_pos": 0.4})
    row = board_of(runs).rows[0]
    assert (row.artifact.path, row.candidates) == ("a/test_metrics_tta_hv.json", 3)
    assert row.marks[0] == "best of 3"


def test_best_by_val_takes_the_artifact_that_validation_prefers(runs: Path) -> None:
    put(runs / "board.yaml", "best_by: val\n")
    put(runs / "a/test_metrics.json", {"dice_pos": 0.3, "validation": {"dice_pos": 0.5}})
    put(runs / "a/test_metrics_tuned.json", {"dice_pos": 0.4, "validation": {"dice_pos": 0.45}})
    put(runs / "a/test_metrics_old.json", {"dice_pos": 0.6})
    row = board_of(runs).rows[0]
    assert row.artifact.path == "a/test_metrics.json"
    assert row.marks[0] == "best of 3 by validation"


def test_best_by_val_of_a_run_without_validation_is_the_best_on_test_and_does_not_claim_otherwise(runs: Path) -> None:
    put(runs / "board.yaml", "best_by: val\n")
    put(runs / "a/test_metrics.json", {"dice_pos": 0.3})
    put(runs / "a/test_metrics_tuned.json", {"dice_pos": 0.4})
    row = board_of(runs).rows[0]
    assert row.artifact.path == "a/test_metrics_tuned.json"
    assert row.marks[0] == "best of 2"


def test_a_metric_where_less_is_better_ranks_the_other_way_round(runs: Path) -> None:
    put(runs / "board.yaml", "primary: hd95\n")
    put(runs / "a/test_metrics.json", {"hd95": 30.0})
    put(runs / "b/test_metrics.json", {"hd95": 10.0})
    put(runs / "b/test_metrics_tuned.json", {"hd95": 5.0})
    board = board_of(runs)
    assert [(row.run, row.value("hd95")) for row in board.rows] == [("b", 5.0), ("a", 30.0)]


@pytest.mark.parametrize("metric", ["iou_pos", "hd95"])
def test_a_missing_value_sorts_last_both_ways(runs: Path, metric: str) -> None:
    put(runs / "a/test_metrics.json", {"dice_pos": 0.5})
    put(runs / "b/test_metrics.json", {"dice_pos": 0.4, metric: 0.2})
    put(runs / "c/test_metrics.json", {"dice_pos": 0.3, metric: 0.3})
    rows = board_of(runs).rows
    up = metric == "iou_pos"
    assert [row.run for row in order(rows, metric)] == (["c", "b", "a"] if up else ["b", "c", "a"])
    assert [row.run for row in order(rows, metric, best_first=False)] == (["b", "c", "a"] if up else ["c", "b", "a"])
    leader = best(rows, metric)
    assert leader is not None
    assert leader.run == ("c" if up else "b")
    assert best(rows, "ece") is None


def test_an_artifact_that_was_scored_on_fewer_images_than_most_ranks_and_is_marked(runs: Path) -> None:
    for name in ("a", "b"):
        put(runs / name / "test_metrics.json", {"dice_pos": 0.3, "num_samples": 613, "num_positive": 108})
    put(runs / "few/test_metrics.json", {"dice_pos": 0.9, "num_cases": 20})
    put(runs / "more/test_metrics.json", {"dice_pos": 0.8, "num_samples": 700})
    put(runs / "positives/test_metrics.json", {"dice_pos": 0.7, "num_samples": 613, "num_positive": 100})
    put(runs / "silent/test_metrics.json", {"dice_pos": 0.6})
    marks = {row.run: row.marks[0] for row in board_of(runs).rows}
    assert marks["few"] == "scored on 20 of 613"
    assert marks["more"] == "scored on 700, not 613"
    assert marks["positives"] == "100 positives, not 108"
    assert marks["a"] == marks["silent"] == "resolution unknown"


def test_an_artifact_of_other_data_with_as_many_images_is_marked(runs: Path) -> None:
    for name, data in (("a", "x"), ("b", "x"), ("c", "y")):
        put(
            runs / name / "test_metrics.json",
            {"dice_pos": 0.3, "data": {"fingerprint": data, "metric_resolution": "native"}},
        )
    assert [row.marks for row in board_of(runs).rows] == [(), (), ("scored on other data",)]


def test_the_resolution_that_the_board_asks_for_ranks_and_others_are_marked(runs: Path) -> None:
    put(runs / "board.yaml", "resolution: input\n")
    native = {"metric_resolution": "native"}
    put(
        runs / "both/test_metrics.json",
        {"dice_pos": 0.3, "roc_auc_presence": 0.9, "recall_pos": 0.1, "input": {"dice_pos": 0.5}, "data": native},
    )
    put(runs / "native/test_metrics.json", {"dice_pos": 0.4, "data": native})
    put(runs / "input/test_metrics.json", {"dice_pos": 0.35, "data": {"metric_resolution": "input"}})
    put(runs / "old/test_metrics.json", {"dice_pos": 0.2})
    board = board_of(runs)
    assert [(row.run, row.value("dice_pos"), row.marks) for row in board.rows] == [
        ("both", 0.5, ()),
        ("native", 0.4, ("native resolution",)),
        ("input", 0.35, ()),
        ("old", 0.2, ("resolution unknown",)),
    ]
    assert board.rows[0].value("roc_auc_presence") == 0.9, "presence is of images, the same at every resolution"
    assert board.rows[0].value("recall_pos") is None, "pixels at another resolution are no answer"


def test_an_input_size_artifact_is_marked_on_a_native_board(runs: Path) -> None:
    put(runs / "a/test_metrics.json", {"dice_pos": 0.3, "data": {"metric_resolution": "input"}})
    assert board_of(runs).rows[0].marks == ("input resolution",)


def test_the_best_of_each_metric_is_by_its_direction_and_of_the_rows_that_report_it(runs: Path) -> None:
    put(runs / "a/test_metrics.json", {"dice_pos": 0.3, "loss": 0.5})
    put(runs / "b/test_metrics.json", {"dice_pos": 0.2, "loss": 0.4, "iou_pos": 0.1})
    put(runs / "b/test_metrics_more.json", {"dice_pos": 0.1, "iou_pos": 0.9})
    assert board_of(runs).best == {"dice_pos": 0.3, "iou_pos": 0.1, "loss": 0.4}


def test_a_row_holds_the_runs_other_artifacts_the_best_first(runs: Path) -> None:
    for name, dice, val in (("a", 0.1, 0.9), ("b", 0.3, 0.1), ("c", 0.2, 0.2)):
        put(runs / f"r/test_metrics_{name}.json", {"dice_pos": dice, "validation": {"dice_pos": val}})
    assert [each.path[-6] for each in board_of(runs).rows[0].others] == ["c", "a"]
    put(runs / "board.yaml", "best_by: val\n")
    row = board_of(runs).rows[0]
    assert row.artifact.path == "r/test_metrics_a.json"
    assert [each.path[-6] for each in row.others] == ["b", "c"]
    assert "best of 3 by validation" in row.marks
