"""What board.yaml and note.yaml say, and what becomes of their mistakes."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from xray_tui.board.index import load_rules
from xray_tui.board.rules import Reference, Rules

from .place import put, reasons_of


def test_without_board_yaml_the_defaults_hold(runs: Path) -> None:
    assert load_rules(runs) == (Rules(), ())


def test_every_key_of_board_yaml_is_read(runs: Path) -> None:
    put(
        runs / "board.yaml",
        "title: Ours\nprimary: iou_pos\nreference: {label: nnUNet, run: base}\nexclude: [old]\n"
        "artifacts: ['val_*.json']\nbest_by: val\nresolution: input\ncolumns: [iou_pos, dice_pos]\n"
        "insights: [best_ap]\nremarks: [a remark]\naliases: {dice_pos: dsc}\nplaces: [results.final]\n"
        "data_fingerprint: sha256:aa\nexpect: {num_samples: 613}\n",
    )
    rules, problems = load_rules(runs)
    assert problems == ()
    assert rules == Rules(
        title="Ours",
        primary="iou_pos",
        reference=Reference("nnUNet", "base"),
        exclude=("old",),
        artifacts=("val_*.json",),
        best_by="val",
        resolution="input",
        columns=("iou_pos", "dice_pos"),
        insights=("best_ap",),
        remarks=("a remark",),
        aliases={"dice_pos": ("dsc",)},
        places=("results.final",),
        data_fingerprint="sha256:aa",
        expect={"num_samples": 613},
    )


def test_a_board_with_another_primary_metric_shows_it_first(runs: Path) -> None:
    put(runs / "board.yaml", "primary: hd95\n")
    assert load_rules(runs)[0].columns[:2] == ("hd95", "dice_pos")


def test_a_metric_may_be_named_in_any_case_and_by_any_of_its_names(runs: Path) -> None:
    put(runs / "board.yaml", "primary: ROC_AUC\ncolumns: [AP, Dice_pos, ours]\naliases: {Dice_pos: [dsc]}\n")
    rules = load_rules(runs)[0]
    assert rules.primary == "roc_auc_presence"
    assert rules.columns == ("average_precision_presence", "dice_pos", "ours")
    assert rules.aliases == {"dice_pos": ("dsc",)}


def test_each_bad_field_keeps_its_default_and_has_one_line_that_says_what_is_right(runs: Path) -> None:
    put(
        runs / "board.yaml",
        "title: Ours\nbest_by: train\ncolumns: []\nexpect: {num_samples: many}\ntitel: x\ninsights: [best_of_all]\n",
    )
    rules, problems = load_rules(runs)
    assert rules == Rules(title="Ours")
    assert len(problems) == 5
    by_field = {line.split(": ")[1]: line for line in problems}
    assert "'test' or 'val'" in by_field["best_by"]
    assert "did you mean title?" in by_field["titel"]
    assert "many" in by_field["expect.num_samples"]
    assert "best_of_all" in by_field["insights.0"]
    assert all(line.startswith("board.yaml: ") and "\n" not in line for line in problems)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("title: 2026", "title: expected text, got 2026; put it in quotes (title of"),
        ("title: ''", "title: expected text of at least 1 characters, got '' (title of"),
        ("exclude: smoke", "exclude: expected a list, got 'smoke' (words; artifacts with"),
        ("exclude: [smoke, 3]", "exclude.1: expected text, got 3"),
        ("columns: []", "columns: expected at least 1 entries, got []"),
        ("resolution: 512", "resolution: expected 'native' or 'input', got 512 (resolution of"),
        ("best_by: [test]", "best_by: expected 'test' or 'val', got ['test']"),
        ("aliases: [a]", "aliases: expected a mapping, got ['a'] (other names"),
        ("aliases: {dice_pos: [dsc, 1]}", "aliases.dice_pos.1: expected text, got 1"),
        ("aliases: {7: dsc}", "aliases.7: expected text, got 7; put it in quotes"),
        ("reference: nnUNet", "reference: expected a mapping, got 'nnUNet' (the run to compare"),
        (
            "reference: {label: nnUNet}",
            "reference.run: is missing (the run to compare the leader with: {label",
        ),
        ("expect: {num_sample: 613}", "expect.num_sample: unknown key; did you mean num_samples?"),
        ("expect: {num_samples: true}", "expect.num_samples: expected a whole number, got True"),
        ("expect: {num_samples: -1}", "expect.num_samples: expected a whole number of at least 0, got -1"),
        ("exclusions: [a]", "exclusions: unknown key; did you mean exclude?"),
        ("q: 1", "q: unknown key; known keys: title, primary, reference,"),
        ("1.5: 1", "1.5: unknown key"),
        ('"\\e[31m": 1', "\N{SYMBOL FOR ESCAPE}[31m: unknown key"),
    ],
)
def test_a_field_of_the_wrong_kind_is_one_line_with_what_is_right(runs: Path, line: str, expected: str) -> None:
    put(runs / "board.yaml", f"{line}\ndata_fingerprint: kept\n")
    rules, problems = load_rules(runs)
    assert rules == Rules(data_fingerprint="kept")
    assert len(problems) == 1
    assert problems[0].startswith(f"board.yaml: {expected}")
    assert problems[0].endswith("; ignored")


def test_a_field_that_is_null_keeps_its_default(runs: Path) -> None:
    put(runs / "board.yaml", "title:\nreference: ~\nexpect: {num_samples: ~, num_positive: 108}\n")
    assert load_rules(runs) == (Rules(expect={"num_positive": 108}), ())


def test_a_list_that_is_wrong_throughout_is_named_a_few_times(runs: Path) -> None:
    put(runs / "board.yaml", "remarks: [" + "1, " * 500 + "]\nplaces: [" + "a, " * 1001 + "]\n")
    rules, problems = load_rules(runs)
    assert rules == Rules()
    assert len(problems) == 11
    assert problems[-1].startswith("board.yaml: places: expected at most 1000 entries, got [")


def test_a_board_without_a_board_yaml_is_read_without_pydantic_and_watchdog(runs: Path) -> None:
    """Their imports delay the first row."""
    put(runs / "a/note.yaml", "set_aside: true\n")
    put(runs / "a/test_metrics.json", {"dice_pos": 0.3})
    program = (
        "import sys; from pathlib import Path; import xray_tui.feeds.board_feed\n"
        "from xray_tui.board.index import RunIndex\n"
        "snapshot = RunIndex(Path(sys.argv[1])).scan()\n"
        "print(len(snapshot.rejected), *(name in sys.modules for name in ('pydantic_core', 'watchdog')))"
    )
    done = subprocess.run([sys.executable, "-c", program, str(runs)], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1", "False", "False"]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"title: [", "not YAML at line 1"),
        (b"- a\n- b\n", "expected a mapping of keys to values, got a list"),
        (b"\xff\xfe", "not UTF-8 text"),
        (b"#" * (2 << 20), "larger than 1 MiB"),
    ],
)
def test_a_board_yaml_that_cannot_be_read_is_one_line_and_the_defaults(
    runs: Path, content: bytes, expected: str
) -> None:
    put(runs / "board.yaml", content)
    rules, problems = load_rules(runs)
    assert rules == Rules()
    assert len(problems) == 1
    assert expected in problems[0]
    assert problems[0].startswith("board.yaml: ")


def test_a_board_yaml_that_grows_when_it_is_looked_at_is_a_few_lines_at_once(runs: Path) -> None:
    """Ten lines of aliases are a list of a billion; a hexadecimal number may be longer than Python prints."""
    names = "abcdefghij"
    lines = ["a: &a [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]" for before, name in pairwise(names)]
    put(runs / "board.yaml", "\n".join([*lines, "title: *j", "best_by: 0x" + "f" * 9999, "primary: &p [*p]"]))
    rules, problems = load_rules(runs)
    assert rules == Rules()
    assert [line for line in problems if line.startswith("board.yaml: title: expected text, got [[")]
    assert all(len(line) < 500 for line in problems)


def test_a_board_yaml_that_is_a_folder_a_pipe_or_a_dead_link_does_not_hang(runs: Path, tmp_path: Path) -> None:
    irregular, missing = "not a regular file", "No such file or directory"
    link = tmp_path / "nowhere"
    for make, why in ((Path.mkdir, irregular), (os.mkfifo, irregular), (lambda path: path.symlink_to(link), missing)):
        path = runs / "board.yaml"
        make(path)
        assert load_rules(runs) == (Rules(), (f"board.yaml: cannot be read: {why}; ignored",))
        path.rmdir() if path.is_dir() else path.unlink()


def test_a_note_sets_its_own_run_aside_and_no_other(runs: Path) -> None:
    for run in ("a", "a/deeper", "b", "c"):
        put(runs / run / "test_metrics.json", {"dice_pos": 0.3})
    put(runs / "a/note.yaml", "note: old split\nset_aside: trained on test images\n")
    put(runs / "b/note.yaml", "tags: [fine]\nset_aside: false\n")
    put(runs / "c/note.yaml", "set_aside: true\n")
    assert reasons_of(runs) == {
        "a/test_metrics.json": "set aside by its note: trained on test images",
        "c/test_metrics.json": "set aside by its note",
    }


def test_a_note_that_cannot_be_read_is_a_problem_and_its_run_ranks(runs: Path) -> None:
    from xray_tui.board.index import RunIndex

    put(runs / "a/test_metrics.json", {"dice_pos": 0.3})
    put(runs / "a/note.yaml", "set_aside: [")
    snapshot = RunIndex(runs).scan()
    assert len(snapshot.artifacts) == 1
    assert len(snapshot.problems) == 1
    assert snapshot.problems[0].startswith("a/note.yaml: not YAML at line 1")


def test_an_unknown_key_of_a_note_is_a_problem(runs: Path) -> None:
    from xray_tui.board.index import RunIndex

    put(runs / "a/test_metrics.json", {"dice_pos": 0.3})
    put(runs / "a/note.yaml", "set_asid: wrong split\nnote: fine\n")
    snapshot = RunIndex(runs).scan()
    assert snapshot.problems == ("a/note.yaml: set_asid: unknown key; known keys: note, tags, set_aside; ignored",)


def test_globs_of_board_yaml_add_artifacts_by_name_or_by_path() -> None:
    rules = Rules(artifacts=("val_*.json", "final/summary.json"))
    assert rules.is_artifact("a/b/val_metrics.json")
    assert rules.is_artifact("final/summary.json")
    assert rules.is_artifact("a/my_test_metrics_x.json")
    assert not rules.is_artifact("other/summary.json")
    assert not rules.is_artifact("a/test_metrics.json.tmp")
    assert not rules.is_artifact("a/._test_metrics.json")


def problems_of(runs: Path) -> tuple[str, ...]:
    from xray_tui.board.index import RunIndex

    return RunIndex(runs).scan().problems


def test_a_primary_metric_that_nothing_bears_is_named_with_the_one_that_was_meant(runs: Path) -> None:
    put(runs / "a/test_metrics.json", {"dice_pos": 0.3})
    put(runs / "board.yaml", "primary: dice_poss\n")
    assert problems_of(runs) == (
        "board.yaml: primary: dice_poss: no ranked artifact has this metric; did you mean dice_pos?",
    )
    assert reasons_of(runs) == {"a/test_metrics.json": "dice_poss is missing"}


def test_a_column_that_nothing_bears_is_named_and_one_that_an_artifact_holds_is_not(runs: Path) -> None:
    put(runs / "a/test_metrics.json", {"dice_pos": 0.3, "clDice": 0.2, "dsc": 0.1})
    put(runs / "board.yaml", "columns: [dice_pos, iou_poss, cldice, zzzz, mine, hd95, AP]\naliases: {mine: [my_own]}\n")
    assert [line.removeprefix("board.yaml: columns: ") for line in problems_of(runs)] == [
        "iou_poss: no ranked artifact has this metric; did you mean iou_pos?",
        "zzzz: no ranked artifact has this metric; known metrics: dice_pos, iou_pos, roc_auc_presence, "
        "average_precision_presence, precision_pos, recall_pos, …",
    ]


def test_a_primary_metric_of_ones_own_is_fine_where_an_artifact_holds_it(runs: Path) -> None:
    put(runs / "a/test_metrics.json", {"clDice": 0.3})
    put(runs / "board.yaml", "primary: clDice\n")
    assert problems_of(runs) == ()
    assert reasons_of(runs) == {}
