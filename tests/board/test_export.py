"""The board as Markdown, CSV and JSON: the users' own file byte for byte, and a copy of that on generated artifacts."""

from __future__ import annotations

import csv
import io
import json
import re
import unicodedata
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from xray_tui.board.exports.formats import ENDINGS, exported, is_same
from xray_tui.board.exports.html import to_html
from xray_tui.board.exports.markdown import to_markdown
from xray_tui.board.exports.tables import to_csv, to_json, to_latex

from .place import board_of, put

STAMP = "2026-02-15 00:38:52"
DESKTOP_ONLY = (
    "No active CUDA training/inference process detected in latest `nvidia-smi` check "
    "(only `C+G` desktop/system processes)."
)
NASTY = (
    "a|b",
    "`tick`",
    "``",
    "new\nline",
    "esc\x1b[31mred",
    "bidi\u202etxet",
    "back\\",
    "a\\|b",
    "a\\\\|b",
    " space ",
    "<b>&amp;",
)

EXPECTED = """\
# Generated board

_Generated: 2026-02-15 00:38:52_

## GPU Status

- No GPU here.

## Ranking (Best Comparable Test Result Per Run)

| Rank | Run | Dice_pos | IoU_pos | ROC-AUC (presence) | AP (presence) | Precision_pos | Recall_pos | Source |
|---:|---|---:|---:|---:|---:|---:|---:|---|
| 1 | `blend` | 0.3837 | - | 0.8866 | 0.7234 | 0.0964 | 0.5227 | `blend/test_metrics.json` |
| 2 | `seeds/seed_1` | 0.3780 | 0.2741 | 0.7450 | 0.3956 | - | - | `seeds/seed_1/test_metrics_tta_hv_thr025.json` |
| 3 | `seeds/seed_2` | 0.3766 | 0.2719 | 0.7352 | 0.3807 | 0.0770 | 0.5613 | `seeds/seed_2/test_metrics_tta_hv.json` |
| 4 | `seeds/seed_3` | 0.3759 | - | 0.7393 | 0.3761 | - | - | `seeds/seed_3/test_metrics_tuned.json` |
| 5 | `v1` | 0.3700 | - | 0.9000 | 0.6000 | - | - | `v1/test_metrics_tta_hv_thr025.json` |
| 6 | `no_presence` | 0.3505 | 0.2524 | - | - | - | - | `no_presence/test_metrics.json` |
| 7 | `reference_test_metrics` | 0.1068 | - | - | - | - | - | `reference_test_metrics.json` |

## Analysis

- Best overall `dice_pos`: `blend` at **0.3837**.
- Versus `nnUNet` reference (`reference_test_metrics`, 0.1068), the top run is **+0.2770 Dice_pos** (259.40% relative).
- Best fracture-presence ROC-AUC: `v1` at **0.9000**.
- Best fracture-presence AP: `blend` at **0.7234**.
- written by “hand”

## Notes

- This ranking keeps one best **comparable** test artifact per run and excludes files with `presence_scan`, \
`regression`, or `smoke` in path/name.
- Some older runs do not report presence metrics; these cells are shown as `-`.
- Scored at an unknown resolution, the others at native size: `blend`, `seeds/seed_1`, `seeds/seed_2`, \
`seeds/seed_3`, `no_presence`, `reference_test_metrics`.
"""


def test_the_users_board_comes_out_byte_for_byte(shared: Path) -> None:
    board = board_of(shared / "seed_board/runs")
    assert to_markdown(board, [DESKTOP_ONLY], STAMP) == (shared / "seed_board/LEADERBOARD.md").read_text("utf-8")


def test_generated_artifacts_of_every_form_come_out_as_one_board(generated_runs: Path) -> None:
    assert to_markdown(board_of(generated_runs), ["No GPU here."], STAMP) == EXPECTED


def test_an_empty_board_is_a_table_with_its_head_alone(runs: Path) -> None:
    text = to_markdown(board_of(runs), ["No GPU here."], STAMP)
    assert "| Source |\n|---:|---|---:|---:|---:|---:|---:|---:|---|\n\n## Analysis\n\n- No test artifact" in text


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("[]", "per run."),
        ("[smoke]", "per run and excludes files with `smoke` in path/name."),
        ("[old, smoke]", "per run and excludes files with `old` or `smoke` in path/name."),
    ],
)
def test_the_note_names_the_words_that_exclude(runs: Path, words: str, expected: str) -> None:
    put(runs / "board.yaml", f"exclude: {words}\n")
    text = to_markdown(board_of(runs), [], STAMP)
    assert f"- This ranking keeps one best **comparable** test artifact {expected}\n" in text


def test_a_run_that_was_scored_on_fewer_images_is_named_in_the_notes(runs: Path) -> None:
    for run, size in (("a", 613), ("b", 613), ("few", 20)):
        put(runs / run / "test_metrics.json", {"dice_pos": 0.3, "num_samples": size})
    assert "\n- `few`: scored on 20 of 613.\n" in to_markdown(board_of(runs), [], STAMP)


@pytest.fixture
def nasty_runs(runs: Path) -> Path:
    for n, name in enumerate(NASTY):
        put(runs / name / "test_metrics.json", {"dice_pos": 0.9 - n / 100, "tta_mode": "\x1b[2J|"})
    put(runs / "bad|`\x1b" / "test_metrics.json", "{")
    put(runs / "board.yaml", 'title: "T\\e[31m"\nremarks: ["r\\e[31m\\nx"]\ncolumns: [dice_pos, "x|\\e[0m"]\n')
    return runs


def test_no_name_breaks_the_table(nasty_runs: Path) -> None:
    text = to_markdown(board_of(nasty_runs), ["gpu \x1b[31m"], STAMP)
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    rows, row = [], []
    for token in tokens:
        if token.type == "tr_open":
            row = []
        elif token.type == "inline" and token.level > 3:
            row.append(token)
        elif token.type == "tr_close":
            rows.append(row)
    assert len(rows) == 1 + len(NASTY)
    shown = []
    for cells in rows[1:]:
        assert len(cells) == 5
        assert [child.type for child in cells[1].children or []] == ["code_inline"]
        shown.append((cells[1].children or [])[0].content)
    assert shown == [
        *("a|b", "`tick`", "``", "new␊line", "esc␛[31mred", "bidi\N{REPLACEMENT CHARACTER}txet", "back\\"),
        *("a\\|b", "a\\\\|b", " space ", "<b>&amp;"),
    ]


@pytest.mark.parametrize(
    "words",
    [
        "<script>alert(1)</script>",
        "![x](https://example.org/x.png)",
        "[x](https://example.org)",
        "`tick` **bold** ~~gone~~ _leant_",
        "ends in a backslash \\",
        "&lt;b&gt; @someone #1",
        "a | b",
    ],
)
def test_a_note_is_text_and_no_markup(runs: Path, words: str) -> None:
    put(runs / "a/test_metrics.json", {"dice_pos": 0.3})
    put(runs / "b/test_metrics.json", {"dice_pos": 0.3})
    put(runs / "b/note.yaml", "set_aside: " + json.dumps(words) + "\n")
    text = to_markdown(board_of(runs), [], STAMP)
    tokens = MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(text)
    children = [child for token in tokens for child in token.children or []]
    assert {child.type for child in children} <= {
        "text",
        "code_inline",
        "strong_open",
        "strong_close",
        "em_open",
        "em_close",
    }
    assert [child.content for child in children if words.strip() in child.content]
    assert not [token for token in tokens if token.type == "html_block"]


def test_a_plain_note_stays_plain(runs: Path) -> None:
    put(runs / "a/test_metrics.json", {"dice_pos": 0.3})
    put(runs / "a/note.yaml", "set_aside: trained on test images (train_v2), see the log\n")
    assert "(set aside by its note: trained on test images (train_v2), see the log)" in to_markdown(
        board_of(runs), [], STAMP
    )


def test_no_control_character_reaches_any_export(nasty_runs: Path) -> None:
    board = board_of(nasty_runs)
    for text in (to_markdown(board, ["\x1b"], "\x1b"), to_csv(board), to_json(board, ["\x1b"], "\x1b")):
        odd = {c for c in text if unicodedata.category(c) in ("Cc", "Cf", "Cs") and c != "\n"}
        assert not odd
    assert not {c for line in json.loads(to_json(board, [], ""))["rows"] for c in line["run"] if ord(c) < 32}


def test_csv_has_full_precision_and_empty_cells(generated_runs: Path) -> None:
    lines = list(csv.DictReader(io.StringIO(to_csv(board_of(generated_runs)))))
    assert len(lines) == 7
    assert lines[0]["dice_pos"] == "0.38373"
    assert lines[0]["iou_pos"] == ""
    assert (lines[4]["run"], lines[4]["threshold"], lines[4]["threshold_source"]) == ("v1", "0.25", "fixed")
    assert lines[3]["candidates"] == "2"
    assert lines[3]["marks"] == "best of 2; resolution unknown"


def test_json_holds_rows_with_all_their_figures_and_what_was_set_aside(generated_runs: Path) -> None:
    value = json.loads(to_json(board_of(generated_runs), ["No GPU here."], STAMP))
    assert value["generated"] == STAMP
    assert value["rows"][4]["validation"] == {"dice_pos": 0.41}
    assert value["rows"][4]["intervals"] == {"dice_pos": [0.33, 0.42]}
    assert value["rows"][0]["metrics"]["dice_pos"] == 0.38373
    assert len(value["set_aside"]) == 8
    assert value["analysis"][-1] == "written by “hand”"


def test_the_latex_table_escapes_names_and_sets_the_best_in_bold(generated_runs: Path) -> None:
    lines = to_latex(board_of(generated_runs)).splitlines()
    assert lines[:2] == [r"\begin{tabular}{lrrrrrr}", r"\toprule"]
    assert lines[-2:] == [r"\bottomrule", r"\end{tabular}"]
    assert lines[2].startswith(r"Run & Dice\_pos & IoU\_pos &")
    leader = next(line for line in lines[4:] if r"\textbf" in line)
    assert re.match(r"[\w\\/]+ & \\textbf\{0\.\d{4}\} & ", leader)
    put(generated_runs / "50% a&b_#{1}" / "test_metrics.json", {"dice_pos": 0.001})
    assert r"50\% a\&b\_\#\{1\} & 0.0010" in to_latex(board_of(generated_runs))


def test_names_of_the_board_replace_those_of_the_folders_in_every_export(runs: Path) -> None:
    for run, dice in (("ours_v3", 0.4), ("theirs", 0.3)):
        put(runs / run / "test_metrics.json", {"dice_pos": dice})
    put(runs / "board.yaml", "names: {ours_v3: 'Ours | Swin'}\n")
    board = board_of(runs)
    markdown = to_markdown(board, [], STAMP)
    assert "| 1 | `Ours \\| Swin` | 0.4000 |" in markdown
    assert "Best overall `dice_pos`: `Ours | Swin` at **0.4000**." in markdown
    assert "| 2 | `theirs` | 0.3000 |" in markdown
    assert "Ours | Swin & 0.4000" in to_latex(board).replace(r"\textbf{0.4000}", "0.4000")
    assert "<td>Ours | Swin</td>" in to_html(board, [], STAMP, {})
    assert to_csv(board).splitlines()[1].startswith("1,Ours | Swin,0.4,")
    rows = json.loads(to_json(board, [], STAMP))["rows"]
    assert [(row["run"], row.get("name")) for row in rows] == [("ours_v3", "Ours | Swin"), ("theirs", None)]


@pytest.mark.parametrize("form", ENDINGS)
def test_a_file_with_another_time_and_gpu_status_is_the_same_but_not_with_another_figure(
    runs: Path, tmp_path: Path, form: str
) -> None:
    put(runs / "a/test_metrics.json", {"dice_pos": 0.4})
    file = put(tmp_path / "board", exported(board_of(runs), form, ["One GPU [busy],", "Two"], STAMP, {}))
    assert is_same(file, exported(board_of(runs), form, [], "2026-02-16 10:00:00", {}))
    put(runs / "a/test_metrics.json", {"dice_pos": 0.41})
    assert not is_same(file, exported(board_of(runs), form, [], STAMP, {}))
    assert not is_same(tmp_path / "missing", "")
