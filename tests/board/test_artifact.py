"""One file's bytes become an artifact, or a reason."""

from __future__ import annotations

import json
import math
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xray_tui.board.artifact import LARGEST, read_artifact, run_of
from xray_tui.board.index import RunIndex
from xray_tui.board.model import Artifact, Rejected
from xray_tui.board.rules import Rules

from .place import RULES, comparable, reason


@pytest.mark.parametrize(
    "block",
    ["metrics", "test", "presence", "best_joint_auc_plus_dice_pos", "best_dice_pos", "best_auc", "best", "Metrics"],
)
def test_a_metric_is_found_in_every_place_that_older_tools_used(block: str) -> None:
    assert comparable({block: {"Dice_Pos": 0.3}}).metrics["dice_pos"] == 0.3


def test_the_first_place_wins() -> None:
    places = ["metrics", "test", "presence", "best_joint_auc_plus_dice_pos", "best_dice_pos", "best_auc", "best"]
    for first, place in enumerate(places):
        document = {later: {"dice_pos": 0.1} for later in reversed(places[first + 1 :])}
        assert comparable({**document, place: {"dice_pos": 0.9}}).metrics["dice_pos"] == 0.9
    assert comparable({"best": {"dice_pos": 0.1}, "dice_pos": 0.9}).metrics["dice_pos"] == 0.9


@pytest.mark.parametrize("name", ["roc_auc", "roc_auc_presence", "presence_roc_auc", "ROC_AUC"])
def test_roc_auc_has_three_names_in_any_case(name: str) -> None:
    assert comparable({"dice_pos": 0.3, "test": {"presence": {name: 0.7}}}).metrics["roc_auc_presence"] == 0.7


@pytest.mark.parametrize("name", ["ap", "average_precision", "average_precision_presence", "presence_ap", "AP"])
def test_average_precision_has_four_names_in_any_case(name: str) -> None:
    artifact = comparable({"dice_pos": 0.3, "presence": {name: 0.7}})
    assert artifact.metrics["average_precision_presence"] == 0.7


def test_a_null_counts_as_absent_so_that_a_block_can_still_give_the_value() -> None:
    assert comparable({"dice_pos": None, "test": {"dice_pos": 0.3}}).metrics["dice_pos"] == 0.3


def test_of_keys_that_differ_only_in_case_the_first_that_is_not_null_wins() -> None:
    assert comparable('{"DICE_POS": null, "Dice_pos": 0.3, "dice_pos": 0.4}').metrics["dice_pos"] == 0.3


def test_board_yaml_adds_aliases_and_places_that_go_before_the_built_in_names() -> None:
    rules = Rules(aliases={"dice_pos": ("DSC", "dice")}, places=("results.final",))
    assert comparable({"results": {"Final": {"dsc": 0.4}}}, rules=rules).metrics["dice_pos"] == 0.4
    assert comparable({"dice": 0.5}, rules=rules).metrics == {"dice_pos": 0.5}


def test_a_v1_artifact_is_read_whole(generated_runs: Path) -> None:
    snapshot = RunIndex(generated_runs).scan()
    artifact = next(each for each in snapshot.artifacts if each.run == "v1")
    assert artifact.validation == {"dice_pos": 0.41}
    assert artifact.input_size == {"dice_pos": 0.36}
    assert artifact.intervals == {"dice_pos": (0.33, 0.42)}
    assert (artifact.threshold, artifact.threshold_source, artifact.tta) == (0.25, "fixed", "hv")
    assert (artifact.num_samples, artifact.num_positive, artifact.fingerprint) == (613, 108, "sha256:aa")
    assert (artifact.resolution, artifact.per_image) == ("native", "test_metrics_tta_hv_thr025.images.csv")
    assert artifact.time == 1771115932.0


def test_threshold_and_tta_of_an_older_artifact_come_from_its_name() -> None:
    artifact = comparable({"dice_pos": 0.3}, "a/test_metrics_tta_hv_thr035_cls.json")
    assert (artifact.threshold, artifact.tta, artifact.threshold_source) == (0.35, "hv", "unknown")
    assert comparable({"dice_pos": 0.3}, "a/test_metrics_thr0125.json").threshold == 0.125


def test_a_secondary_metric_that_makes_no_sense_counts_as_not_reported() -> None:
    text = '{"dice_pos": 0.3, "iou_pos": "0.2", "roc_auc": NaN, "ap": 1.5, "recall_pos": true, "hd95": 88.5}'
    assert comparable(text).metrics == {"dice_pos": 0.3, "hd95": 88.5}


def test_the_run_is_the_folder_or_the_name_of_a_file_directly_in_the_runs_folder() -> None:
    assert run_of("dg/seed_42/test_metrics.json") == "dg/seed_42"
    assert run_of("nnunet_test_metrics.json") == "nnunet_test_metrics"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ('{"dice_pos": 0.55, "iou_p', "truncated"),
        ('{"dice_pos": 0.55', "truncated"),
        ("", "empty"),
        (" \n", "empty"),
        (b"\x89PNG\r\n\x1a\n", "not UTF-8 text (byte 1 is 0x89)"),
        ('{"dice_pos": 0.3}'.encode("utf-16"), "not UTF-8"),
        ("{'dice_pos': 0.3}", "not JSON: Expecting property name enclosed in double quotes, line 1 column 2"),
        ("[0.3]", "expected a JSON object, got a list"),
        ("3", "expected a JSON object, got a number"),
        ("[" * 100_000, "nested too deeply"),
        ('{"dice_pos": ' + "9" * 5000 + "}", "too long"),
        ('{"dice_pos": ' + "9" * 400 + "}", "dice_pos is infinite"),
        ('{"dice_pos": NaN}', "dice_pos is NaN"),
        ('{"dice_pos": -Infinity}', "dice_pos is infinite"),
        ('{"dice_pos": 1.01}', "dice_pos: expected 0 to 1, got 1.01"),
        ('{"dice_pos": -0.1}', "dice_pos: expected 0 to 1, got -0.1"),
        ('{"dice_pos": "0.3"}', "dice_pos is text, not a number"),
        ('{"dice_pos": true}', "dice_pos is true or false, not a number"),
        ('{"dice_pos": {"mean": 0.3}}', "dice_pos is an object, not a number"),
        ('{"dice_pos": null}', "dice_pos is missing"),
        ('{"loss": 0.3}', "dice_pos is missing"),
        ('{"dice_pos": 0.4, "selection": {"threshold_source": "test"}}', "selection.threshold_source"),
        ('{"dice_pos": 0.4, "Selection": {"Selected_on": "TEST"}}', "selection.selected_on"),
        ('{"dice_pos": 0.4, "split": "test", "num_rows": 12}', "best of 12 trials"),
    ],
)
def test_what_is_not_comparable_says_why(content: str | bytes, expected: str) -> None:
    assert expected in reason(content)


def test_an_artifact_in_the_format_of_a_newer_version_does_not_rank_and_one_without_a_format_does() -> None:
    says = "written by a newer version (xray-test-metrics/2); this version reads xray-test-metrics/1"
    assert reason({"schema": "xray-test-metrics/2", "dice_pos": 0.3}) == says
    assert reason({"Schema": "xray-test-metrics/2"}) == says, "nothing else that is missing is the reason"
    for schema in ("xray-test-metrics/1", "another tool's", 3, None):
        assert comparable({"schema": schema, "dice_pos": 0.3}).metrics["dice_pos"] == 0.3


def test_a_search_of_one_row_or_on_validation_is_a_plain_result() -> None:
    assert comparable({"split": "test", "num_rows": 1, "best": {"dice_pos": 0.3}}).metrics["dice_pos"] == 0.3
    assert comparable({"split": "val", "num_rows": 99, "best": {"dice_pos": 0.3}}).metrics["dice_pos"] == 0.3


@pytest.mark.parametrize("word", ["presence_scan", "Regression", "SMOKE"])
def test_an_excluded_word_anywhere_in_the_path_is_the_reason_in_any_case(word: str) -> None:
    assert reason({"dice_pos": 0.3}, f"x/{word}_1/test_metrics.json") == f"its path contains {word.lower()}"


def test_a_file_over_32_mib_is_refused() -> None:
    assert "at most 32 MiB" in reason(b'{"dice_pos": 0.3}' + b" " * LARGEST)


def test_a_bom_is_no_reason_to_refuse() -> None:
    assert comparable(b'\xef\xbb\xbf{"dice_pos": 0.3}').metrics == {"dice_pos": 0.3}


def test_pins_refuse_what_says_otherwise_and_pass_what_says_nothing() -> None:
    rules = Rules(data_fingerprint="sha256:aa", expect={"num_samples": 613, "num_positive": 108})
    assert comparable({"dice_pos": 0.3}, rules=rules)
    assert comparable({"dice_pos": 0.3, "num_cases": 613.0, "data": {"fingerprint": "sha256:aa"}}, rules=rules)
    assert reason({"dice_pos": 0.3, "num_samples": 20}, rules=rules) == "num_samples: board.yaml expects 613, got 20"
    assert "num_positive: board.yaml expects 108, got 9" in reason(
        {"dice_pos": 0.3, "num_samples": 613, "num_positive": 9}, rules=rules
    )
    assert "expects fingerprint sha256:aa, got sha256:bb" in reason(
        {"dice_pos": 0.3, "data": {"fingerprint": "sha256:bb"}}, rules=rules
    )


def test_another_primary_metric_has_its_own_range_and_direction() -> None:
    rules = Rules(primary="hd95")
    assert comparable({"hd95": 88.5}, rules=rules).metrics == {"hd95": 88.5}
    assert reason({"hd95": -1}, rules=rules) == "hd95: expected at least 0, got -1"
    assert reason({"dice_pos": 0.3}, rules=rules) == "hd95 is missing"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
KEYS = (
    *("dice_pos", "Dice_Pos", "metrics", "test", "presence", "best", "selection", "data", "input", "validation"),
    *("intervals", "provenance", "num_rows", "split", "threshold", "tta", "num_samples", "num_positive", "per_image"),
)
INNER_KEYS = ("dice_pos", "roc_auc", "presence", "created", "fingerprint", "threshold_source", "selected_on")
documents = st.dictionaries(
    st.sampled_from(KEYS), json_values | st.dictionaries(st.sampled_from(INNER_KEYS), json_values)
)


@settings(max_examples=100, deadline=None)
@given(documents)
def test_no_document_whatever_crashes_the_reader_or_brings_a_control_character(document: dict[str, object]) -> None:
    _is_safe(read_artifact(json.dumps(document).encode(), "a/test_metrics.json", 1.0, RULES))


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=200))
def test_no_bytes_whatever_crash_the_reader(data: bytes) -> None:
    _is_safe(read_artifact(data, "a/test_metrics.json", 1.0, RULES))


def _is_safe(answer: Artifact | Rejected) -> None:
    if isinstance(answer, Artifact):
        assert 0.0 <= answer.metrics["dice_pos"] <= 1.0
        shown = [answer.tta or "", answer.fingerprint or "", answer.resolution or "", answer.threshold_source]
        shown += [str(value) for pair in answer.selection.items() for value in pair]
    else:
        shown = [answer.reason]
    assert not [c for text in shown for c in text if unicodedata.category(c) in ("Cc", "Cf", "Cs")]


def test_a_large_artifact_is_read_as_a_small_one_is() -> None:
    images = [{"id": f"image {n}", "dice": 0.5} for n in range(40_000)]
    artifact = comparable(
        {
            "images": images,
            "dice_pos": 0.3,
            "test": {"AP": 0.7},
            "intervals": {"dice_pos": [0.2, 0.4]},
            "loss": math.nan,
        }
    )
    assert artifact.metrics == {"dice_pos": 0.3, "average_precision_presence": 0.7}
    assert artifact.intervals == {"dice_pos": (0.2, 0.4)}


def test_an_artifact_of_a_run_that_was_trained_on_its_test_images_does_not_rank() -> None:
    marked = {"dice_pos": 0.9, "data": {"split": "test", "overlap": {"count": 574, "with": ["../first"]}}}
    assert reason(marked) == "trained on 574 of its validation or test images (data.overlap)"
    assert reason({"dice_pos": 0.9, "data": {"Overlap": {"count": "many"}}}) == (
        "trained on validation or test images (data.overlap)"
    )
    assert comparable({"dice_pos": 0.9, "data": {"overlap": {}}}).metrics["dice_pos"] == 0.9


@pytest.mark.parametrize(
    ("document", "settings", "line"),
    [
        ({"test/dice_pos": 0.61}, {}, 'aliases: {dice_pos: ["test/dice_pos"]}'),
        ({"dice-pos": 0.61}, {"aliases": {"dice_pos": ("DSC",)}}, 'aliases: {dice_pos: ["DSC", "dice-pos"]}'),
        ({"results": {"dice_pos": 0.61}}, {"places": ("final",)}, 'places: ["final", "results"]'),
        ({"unet": {"eval_dice_pos": 0.61}}, {}, 'aliases: {dice_pos: ["eval_dice_pos"]}, places: ["unet"]'),
    ],
)
def test_a_missing_metric_names_the_nearest_key_and_the_line_that_maps_it(
    document: dict[str, object], settings: dict[str, object], line: str, tmp_path: Path
) -> None:
    message = reason(json.dumps(document), rules=Rules(**settings))  # type: ignore[arg-type]
    assert message.startswith("dice_pos is missing; nearest key: ")
    assert message.endswith(f"put into board.yaml: {line}")
    (tmp_path / "test_metrics.json").write_text(json.dumps(document))
    (tmp_path / "board.yaml").write_text(line.replace(", places", "\nplaces"))
    (artifact,) = RunIndex(tmp_path).scan().artifacts
    assert artifact.metrics["dice_pos"] == 0.61


@pytest.mark.parametrize(
    "document",
    [
        {"val/dice_pos": 0.6, "iou_pos": 0.5, "dice_pos_median": 0.7, "dice_pos_std": 0.1, "learning_rate": 1e-4},
        {"validation": {"dice_pos": 0.6}},
        {"test/dice_pos": "0.61"},
    ],
)
def test_keys_of_other_splits_and_metrics_are_not_suggested(document: dict[str, object]) -> None:
    assert reason(json.dumps(document)) == "dice_pos is missing"


def test_a_nearest_key_with_control_characters_is_made_visible() -> None:
    assert reason(json.dumps({"test\x1b[2J/dice_pos": 0.6})).isprintable()


@pytest.mark.parametrize(("value", "read"), [(1.0000000000000002, 1.0), (-1e-7, 0.0), (1.0000009, 1.0)])
def test_a_rounding_error_outside_the_range_is_clipped(value: float, read: float) -> None:
    assert comparable({"dice_pos": value, "iou_pos": value}).metrics == {"dice_pos": read, "iou_pos": read}


def test_more_than_a_rounding_error_is_refused() -> None:
    assert reason('{"dice_pos": 1.00001}').startswith("dice_pos: expected 0 to 1, got 1.00001")
