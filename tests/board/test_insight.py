"""The sentences of the analysis."""

from __future__ import annotations

import statistics
from pathlib import Path
from random import Random

import pytest

from xray_tui.board.analysis import code, difference_interval, read_per_image, sentences
from xray_tui.board.seed_groups import seed_groups, seedless

from .place import board_of, put

CONFIG = "kind: train\nname: {name}\nseed: {seed}\ndata:\n  manifest: ../../data/seed_{seed}/manifest.csv\nlr: {lr}\n"


def only(runs: Path, *insights: str, more: str = "") -> None:
    put(runs / "board.yaml", f"insights: [{', '.join(insights)}]\n{more}")


def test_an_empty_board_says_so(runs: Path) -> None:
    assert sentences(board_of(runs)) == ["No test artifact is comparable yet."]


def test_without_board_yaml_all_insights_that_apply_are_written(generated_runs: Path) -> None:
    put(generated_runs / "board.yaml", "reference: {label: nnUNet, run: reference_test_metrics}\n")
    found = sentences(board_of(generated_runs))
    assert found[0] == "Best overall `dice_pos`: `blend` at **0.3837**."
    assert found[1] == (
        "Versus `nnUNet` reference (`reference_test_metrics`, 0.1068), the top run is **+0.2770 Dice_pos** "
        "(259.40% relative)."
    )
    assert found[2] == "Best fracture-presence ROC-AUC: `v1` at **0.9000**."
    assert found[3] == "Best fracture-presence AP: `blend` at **0.7234**."
    assert found[4] == "Seed group `seeds` (n = 3): Dice_pos 0.3768 ± 0.0011, ranks 2 to 4."
    assert found[-1].startswith("8 unranked artifacts: `Smoke_dg/seed_1/test_metrics.json` (its path contains smoke)")
    assert found[-1].endswith("; and 3 more (listed by `xray-tui check`).")


def test_the_reference_is_not_compared_with_itself_nor_where_it_is_absent(runs: Path) -> None:
    put(runs / "base/test_metrics.json", {"dice_pos": 0.5})
    for run in ("base", "nobody"):
        only(runs, "versus_reference", more=f"reference: {{label: nnUNet, run: {run}}}\n")
        assert sentences(board_of(runs)) == []


def test_a_reference_of_zero_has_no_relative_gain(runs: Path) -> None:
    only(runs, "versus_reference", more="reference: {label: base, run: b}\n")
    put(runs / "a/test_metrics.json", {"dice_pos": 0.5})
    put(runs / "b/test_metrics.json", {"dice_pos": 0.0})
    assert sentences(board_of(runs))[0].endswith("the top run is **+0.5000 Dice_pos**.")


def test_remarks_are_printed_after_the_insights_on_one_line_each(runs: Path) -> None:
    only(runs, more='remarks: ["one\\ntwo \\e[31m"]\n')
    put(runs / "a/test_metrics.json", {"dice_pos": 0.5})
    assert sentences(board_of(runs)) == ["one two ␛[31m"]


def test_runs_whose_configs_differ_only_in_the_seed_are_a_group_wherever_they_lie(runs: Path) -> None:
    for name, seed, lr, dice in (("x/first", 1, 0.1, 0.3), ("y/second", 2, 0.1, 0.5), ("y/third", 3, 0.2, 0.4)):
        put(runs / name / "test_metrics.json", {"dice_pos": dice})
        put(runs / name / "config.yaml", CONFIG.format(name=name, seed=seed, lr=lr))
    board = board_of(runs)
    configs = {row.run: (runs / row.run / "config.yaml").read_text() for row in board.rows}
    groups = seed_groups(board, configs)
    assert [[row.run for row in group.rows] for group in groups] == [["y/second", "x/first"]]
    assert groups[0].label == "y/second and 1 more"
    assert groups[0].mean == pytest.approx(0.4)
    assert groups[0].sd == pytest.approx(statistics.stdev([0.3, 0.5]))


def test_without_configs_names_in_one_folder_that_differ_in_the_seed_are_a_group(runs: Path) -> None:
    for name in (
        "f/net_s1",
        "f/net_s2",
        "g/net_s3",
        "f/other_s1",
        "fold0",
        "fold1",
        "h/seed_1",
        "h/seed_2",
        "h/seeds_1",
    ):
        put(runs / name / "test_metrics.json", {"dice_pos": 0.3})
    groups = {group.label: [row.run for row in group.rows] for group in seed_groups(board_of(runs), {})}
    assert groups == {
        "f/net_s*": ["f/net_s1", "f/net_s2"],
        "fold*": ["fold0", "fold1"],
        "h": ["h/seed_1", "h/seed_2"],
    }


def test_what_follows_from_the_seed_is_taken_out_of_a_config_and_nothing_else() -> None:
    one = CONFIG.format(name="net_s1", seed=1, lr=0.1) + "init_from: runs/net_s1\n# note\n"
    two = CONFIG.format(name="net_s2", seed=2, lr=0.1) + "init_from: runs/net_s2\n"
    assert seedless(one) == seedless(two)
    assert seedless(one) != seedless(two.replace("0.1", "0.2"))


def test_a_description_of_several_lines_does_not_tell_two_seeds_apart() -> None:
    first, second = "description: seed one,\n  of two\nlr: 0.1\n", "description: seed two\nlr: 0.1\n"
    assert seedless(first) == seedless(second) == "lr: 0.1"


def test_a_key_that_configs_of_older_versions_do_not_have_keeps_no_seeds_apart() -> None:
    older, newer = "seed: 1\nmodel:\n  encoder: a", "seed: 2\nmodel:\n  encoder: a\n  partial_weights: false"
    assert seedless(older) == seedless(newer)


@pytest.mark.parametrize("pair", [("resnet34", "resnet50"), ("mobileone_s0", "mobileone_s4")])
def test_runs_that_are_named_after_their_encoders_are_no_seed_group(runs: Path, pair: tuple[str, str]) -> None:
    configs = {}
    for name in pair:
        put(runs / name / "test_metrics.json", {"dice_pos": 0.3})
        configs[name] = f"name: {name}\nseed: 42\ndata:\n  manifest: m.csv\nmodel:\n  encoder: {name}\n"
    assert seed_groups(board_of(runs), configs) == []


def test_runs_on_data_of_their_own_names_are_no_seed_group(runs: Path) -> None:
    configs = {}
    for name in ("clean", "noisy"):
        put(runs / name / "test_metrics.json", {"dice_pos": 0.3})
        configs[name] = f"name: {name}\nseed: 42\ndata:\n  manifest: data/{name}/manifest.csv\n"
    assert seed_groups(board_of(runs), configs) == []


def test_an_empty_config_counts_as_none(runs: Path) -> None:
    for name in ("resnet", "unet", "net_s1", "net_s2"):
        put(runs / name / "test_metrics.json", {"dice_pos": 0.3})
    configs = dict.fromkeys(("resnet", "unet", "net_s1"), "# nothing\n\n")
    assert [group.label for group in seed_groups(board_of(runs), configs)] == ["net_s*"]


def test_the_leaders_interval_is_printed_where_its_artifact_has_one(runs: Path) -> None:
    only(runs, "leader_interval")
    put(runs / "a/test_metrics.json", {"dice_pos": 0.5, "intervals": {"dice_pos": [0.45, 0.55], "iou_pos": [2, 1]}})
    assert sentences(board_of(runs)) == ["95 % interval of the leader's Dice_pos: 0.4500 to 0.5500."]


def test_the_newest_run_is_measured_against_the_leader(runs: Path) -> None:
    only(runs, "newest_versus_leader")
    put(runs / "a/test_metrics.json", {"dice_pos": 0.5, "provenance": {"created": "2026-02-15T00:00:00+00:00"}})
    put(runs / "b/test_metrics.json", {"dice_pos": 0.4, "provenance": {"created": "2026-02-16T00:00:00+00:00"}})
    expected = "Newest run: `b`, rank 2 with Dice_pos 0.4000 (-0.1000 against the leader)."
    assert sentences(board_of(runs)) == [expected]


def per_image(runs: Path, run: str, dice: list[float]) -> None:
    mean = sum(dice) / len(dice)
    put(runs / run / "test_metrics.json", {"dice_pos": mean, "per_image": "test_metrics.images.csv"})
    lines = [f"p{n},1,{value},,1,1,1,0.5" for n, value in enumerate(dice)] + ["n1,0,,,0,0,0,0.1"]
    put(runs / run / "test_metrics.images.csv", "\n".join(["id,fractured,dice,iou,tp,fp,fn,presence_score", *lines]))


def test_runs_that_images_cannot_tell_from_the_leader_are_named(runs: Path) -> None:
    only(runs, "indistinguishable")
    scores = [0.3 + n / 200 for n in range(100)]
    per_image(runs, "leader", scores)
    per_image(runs, "twin", [score + (0.10 if n % 2 else -0.11) for n, score in enumerate(scores)])
    per_image(runs, "worse", [score - 0.2 for score in scores])
    put(runs / "no_table/test_metrics.json", {"dice_pos": 0.5})
    assert sentences(board_of(runs)) == [
        "Not distinguishable from the leader (paired bootstrap over 100 images with a fracture, 95 %): `twin`."
    ]


def test_the_paired_interval_holds_the_true_difference_and_needs_the_same_images() -> None:
    draw = Random(2)
    ours = {str(n): draw.random() for n in range(200)}
    theirs = {name: score - 0.1 + draw.gauss(0, 0.05) for name, score in ours.items()}
    interval = difference_interval(ours, theirs)
    assert interval is not None
    assert interval[0] < 0.1 < interval[1]
    assert interval[1] - interval[0] < 0.03
    assert interval == difference_interval(ours, theirs)
    assert difference_interval(ours, {"0": 0.5}) is None


@pytest.mark.parametrize("named", ["../secret.csv", "/etc/passwd", "a\0b", "missing.csv", "."])
def test_a_per_image_table_is_only_taken_from_beside_its_artifact(runs: Path, named: str) -> None:
    put(runs / "secret.csv", "id,dice\n1,0.5\n")
    put(runs / "a/test_metrics.json", {"dice_pos": 0.5, "per_image": named})
    assert read_per_image(runs, board_of(runs).rows[0], "dice") is None


@pytest.mark.parametrize("table", ["", "id,dice\n1,x\n", "dice\n0.5\n", "id,dice\n1,nan\n", b"\xff\xfe", 'id,dice\n"1'])
def test_a_damaged_per_image_table_is_none(runs: Path, table: str | bytes) -> None:
    put(runs / "a/test_metrics.json", {"dice_pos": 0.5, "per_image": "t.csv"})
    put(runs / "a/t.csv", table)
    assert read_per_image(runs, board_of(runs).rows[0], "dice") is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("run", "`run`"),
        ("a`b", "``a`b``"),
        ("`a", "`` `a ``"),
        ("a``b`", "``` a``b` ```"),
        ("a\nb\x1b[31m", "`a␊b␛[31m`"),
        ("\u202eevil", "`\N{REPLACEMENT CHARACTER}evil`"),
    ],
)
def test_a_name_becomes_a_code_span_that_nothing_in_it_can_end(text: str, expected: str) -> None:
    assert code(text) == expected
