"""How values read on a line: texts in a width, columns in a table, jobs, curves. Pure functions."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from tests.app.samples import NOW, make_job, write_artifact
from xray_tui.board.index import RunIndex
from xray_tui.board.model import Board
from xray_tui.board.rank import rank
from xray_tui.jobs.model.job import Job, Progress, State
from xray_tui.keymap import COMMANDS
from xray_tui.screens.help import help_lines
from xray_tui.screens.problems import problem_lines
from xray_tui.screens.text_screen import WIDTH
from xray_tui.widgets.columns import Sort, arrange, columns_of, longest_name, more, place
from xray_tui.widgets.format import age, bar, cut_apart, fit
from xray_tui.widgets.job_format import Layout, counts, job_detail, job_line
from xray_tui.widgets.key_bar import fitting
from xray_tui.widgets.list_view import changed_width, strip

SIX = ("dice_pos", "iou_pos", "roc_auc_presence", "average_precision_presence", "precision_pos", "recall_pos")


def text_of(parts: list[tuple[str, str]]) -> str:
    return "".join(text for text, _ in parts)


@given(st.text(max_size=40), st.integers(0, 30))
def test_a_text_fits_its_width_to_the_cell(text: str, width: int) -> None:
    assert cell_len(fit(text, width)) == width


@given(st.lists(st.text("abc_", min_size=1, max_size=30), max_size=6, unique=True), st.integers(8, 24))
def test_different_names_are_cut_so_that_they_look_different(names: list[str], width: int) -> None:
    shown = cut_apart(names, width)
    assert all(cell_len(text) <= width for text in shown.values())
    assert len(set(shown.values())) == len(names)


def test_a_long_name_loses_its_middle_because_names_differ_at_their_ends() -> None:
    assert fit("swin3d_adapter_baseline_like_long_v4", 20) == "swin3d_ada…e_long_v4"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-5, "now"), (59, "now"), (60, "1m"), (3599, "59m"), (7200, "2h"), (86400 * 27, "27d"), (86400 * 60, "8w"),
     (86400 * 364 * 3, "3y")],
)  # fmt: skip
def test_an_age_has_at_most_four_cells(seconds: float, text: str) -> None:
    assert age(seconds) == text


def test_a_bar_is_full_at_the_end_and_never_longer() -> None:
    assert bar(1.7, 6) == ("━━━━━━", "")
    assert bar(0.5, 6) == ("━━━", "╌╌╌")


# Columns


def shown(width: int, name_width: int = 30, sorted_by: str = "rank") -> dict[str, int]:
    return {column.key: cells for column, cells in place(columns_of(SIX, name_width), width, sorted_by)[0]}


def test_at_120_columns_a_name_of_30_letters_is_whole_beside_six_metrics_threshold_tta_and_age() -> None:
    columns = shown(115)
    assert columns["run"] >= 30
    assert {*SIX, "threshold", "tta", "age"} <= columns.keys()


def test_columns_that_do_not_fit_are_dropped_from_the_right_and_counted() -> None:
    every = [column.key for column in columns_of(SIX, 30)]
    for width in range(60, 200):
        placed, dropped = place(columns_of(SIX, 30), width, "rank")
        keys = [column.key for column, _ in placed]
        assert keys == every[: len(keys)]
        assert dropped == max(0, len(every) - 1 - len(keys))
        assert sum(cells + 1 for _, cells in placed) + len(more(dropped)) <= width + 1
    assert {"rank", "run", "dice_pos", "iou_pos", "roc_auc_presence"} <= shown(76).keys()


def test_a_columns_head_is_the_same_at_every_width() -> None:
    heads = {column.head for width in (60, 75, 120, 200) for column, _ in place(columns_of(SIX, 30), width, "rank")[0]}
    assert heads == {"#", "Run", "Dice_pos", "IoU_pos", "ROC-AUC", "AP", "Prec_pos", "Rec_pos", " Thr", "TTA", "Age",
                     "Artifact"}  # fmt: skip


def test_the_column_that_is_sorted_by_is_always_there() -> None:
    assert "threshold" in shown(75, sorted_by="threshold")


@pytest.mark.parametrize("width", range(20, 250, 7))
def test_the_columns_fill_no_more_than_the_width(width: int) -> None:
    columns = shown(width)
    assert sum(columns.values()) + len(columns) <= max(width + 1, 22)


def board(tmp_path: Path) -> Board:
    for run, dice, loss in (("b", 0.3, 0.5), ("a", 0.3, 0.2), ("c", 0.1, None)):
        write_artifact(tmp_path, run, dice, loss=loss)
    return rank(RunIndex(tmp_path).scan())


def test_equal_values_stay_in_the_order_of_their_rank_and_the_lowest_loss_comes_first(tmp_path: Path) -> None:
    rows, columns = board(tmp_path).rows, columns_of(("dice_pos", "loss"))
    assert [rows[index].run for index in arrange(rows, columns, Sort("dice_pos"), "")] == ["a", "b", "c"]
    assert [rows[index].run for index in arrange(rows, columns, Sort("loss"), "")] == ["a", "b", "c"]
    assert [rows[index].run for index in arrange(rows, columns, Sort("loss", reverse=True), "")] == ["b", "a", "c"]
    assert [rows[index].run for index in arrange(rows, columns, Sort(), "")] == ["a", "b", "c"]
    assert [rows[index].run for index in arrange(rows, columns, Sort(reverse=True), "")] == ["c", "b", "a"]


@pytest.mark.parametrize("run", ["plain", "骨折_骨折_骨折_骨折", "esc\x1b[2J", "bidi\u202ename"])
def test_the_longest_name_is_as_wide_as_it_is_shown(tmp_path: Path, run: str) -> None:
    write_artifact(tmp_path, run, 0.3)
    write_artifact(tmp_path, "s", 0.2)
    rows = rank(RunIndex(tmp_path).scan()).rows
    assert longest_name(rows) == cell_len(rows[0].name)


def test_the_filter_wants_every_word_in_the_run_or_its_file(tmp_path: Path) -> None:
    write_artifact(tmp_path, "Unet_A", 0.2, name="test_metrics_tta_hv.json")
    rows, columns = board(tmp_path).rows, columns_of(SIX)
    assert [rows[index].run for index in arrange(rows, columns, Sort(), "unet HV")] == ["Unet_A"]
    assert arrange(rows, columns, Sort(), "unet none") == ()


# Jobs


def job_text(job: Job, width: int, jobs: tuple[Job, ...] = (), me: str = "", now: float = NOW) -> str:
    """The line of the job in a list of these jobs."""
    return text_of(job_line(job, width, now, Layout.of(jobs or (job,), width, me), me))


def test_a_job_that_is_asked_to_stop_says_by_whom_and_how_long_it_still_has() -> None:
    asked = {"stop_asked_by": "ana", "stop_asked": NOW - 18, "grace": 30.0}
    job = make_job("j1", "unet", State.RUNNING, **asked)
    assert job_detail(job, NOW) == "train · stopping: asked by ana, killed in 12 s"
    assert job_detail(job, NOW + 60) == "train · stopping: asked by ana"
    waiting = make_job("j1", "unet", State.QUEUED, **asked)
    assert "killed" not in job_detail(waiting, NOW)


@pytest.mark.parametrize("width", [30, 38, 58, 90, 140])
def test_a_job_fits_its_line_and_says_its_state_by_sign_and_word_or_bar(width: int, jobs: tuple[Job, ...]) -> None:
    for job in jobs:
        line = job_text(job, width, jobs)
        assert cell_len(line) == width
        assert line[1] in "◦▶✓✗■"
        assert (job.state in line) or "45%" in line
    assert "2m10s" in job_text(jobs[1], width, jobs)


def test_a_job_that_stops_says_so_and_counts_the_seconds_down() -> None:
    progress = Progress(9, 20, "epochs", "training", 130.0)
    job = make_job("j", "unet", State.RUNNING, progress=progress, stop_asked_by="ana", stop_asked=NOW - 18, grace=30.0)
    assert job_text(job, 38).split() == ["□", "train", "unet", "stopping", "12", "s"]
    assert job_text(job, 90).split() == ["□", "stopping", "train", "unet", "12", "s"]
    for width in (38, 90):
        assert job_text(job, width, now=NOW + 1).endswith("11 s")
        assert job_text(job, width, now=NOW + 60).endswith("11m40s"), "as long as it has run"
    assert "stopping" in job_text(replace(job, state=State.QUEUED), 38)
    assert job_text(replace(job, state=State.STOPPED, ended=NOW - 1), 38).split()[-2:] == ["stopped", "now"]


def test_the_jobs_are_counted_by_what_they_do(jobs: tuple[Job, ...]) -> None:
    more = [make_job(f"h{n}", "held", State.HELD) for n in range(2)]
    stopping = make_job("s", "unet", State.RUNNING, stop_asked_by="ana")
    assert counts((*jobs, *more, stopping)) == "1 running · 1 stopping · 1 waiting · 2 held"
    assert counts(jobs[2:]) == ""


def test_names_of_jobs_get_the_room_before_the_bar_and_never_look_alike() -> None:
    name = "challenge_dual_head_seed_42_v3"
    job = make_job("j", name, State.RUNNING, progress=Progress(9, 20, "epochs", "training", 130.0))
    assert name in job_text(job, 56)
    assert "━" in job_text(job, 56)
    alike = tuple(make_job(str(n), f"aug_strong_lr_{n}e-4_dual_head_full_size", State.QUEUED) for n in range(3))
    assert len({job_text(job, 38, alike) for job in alike}) == 3


def test_a_job_of_somebody_else_carries_its_user() -> None:
    job = make_job("x", "unet", State.RUNNING, user="ana")
    assert "unet (ana) " in job_text(job, 60, me="bo")
    assert "(ana)" not in job_text(job, 60, me="ana")


def test_a_job_with_a_bad_name_or_a_wild_progress_stays_on_its_line() -> None:
    job = make_job("x", "bad\x1b]0;name\x07\n", State.RUNNING, progress=Progress(99, 0, "epochs", "training", -4.0))
    assert job_text(job, 60).isprintable()
    assert "100%" in job_text(replace(job, progress=Progress(30, 20, "epochs", "x")), 60)


# Screens of lines


def test_problem_lines_have_no_control_character(tmp_path: Path) -> None:
    folder = tmp_path / "bad\x1b[2J\nname"
    folder.mkdir()
    (folder / "test_metrics.json").write_text("[]")
    lines = problem_lines(rank(RunIndex(tmp_path).scan()), ["settings: \x07"])
    assert len(lines) == 4
    assert all(line.isprintable() for line in lines)


def test_help_and_problems_fit_80_columns_and_the_help_has_every_id(tmp_path: Path) -> None:
    help_text = help_lines({"job.stop": "ctrl+k"}, tmp_path / "settings.yaml")
    assert all(any(f" {command.id} " in line for line in help_text) for command in COMMANDS)
    assert any(line.split()[:2] == ["ctrl+k", "job.stop"] for line in help_text)
    folder = tmp_path / ("deep_" * 20) / ("name_" * 20)
    folder.mkdir(parents=True)
    (folder / "test_metrics.json").write_text("[]")
    problems = problem_lines(rank(RunIndex(tmp_path).scan()), ["settings: " + "many words " * 20])
    assert max(map(cell_len, [*help_text, *problems])) <= WIDTH + 1
    assert any("a JSON object, got" in line for line in problems)


def test_help_and_quit_stay_in_the_key_bar_when_others_must_go() -> None:
    keys = [("t", "train"), ("e", "evaluate"), ("?", "help"), ("q", "quit")]
    assert fitting(keys, 80) == keys
    assert fitting(keys, 26) == [keys[0], *keys[2:]]
    assert fitting(keys, 5) == keys[2:]


PLAIN, FAINT, BOLD, CURSOR = Style(color="white"), Style(color="grey50"), Style(bold=True), Style(bgcolor="blue")


def test_blanks_join_the_text_beside_them_where_they_look_the_same() -> None:
    assert list(strip([(" ", FAINT), ("12", PLAIN), (" ", FAINT), ("34", PLAIN)], 8, BOLD)) == [
        Segment(" 12 34  ", PLAIN)
    ]
    marked = [("12", PLAIN), (" ", CURSOR), (" ", Style(underline=True)), ("3", PLAIN)]
    assert [segment.text for segment in strip(marked, 5, PLAIN)] == ["12", " ", " ", "3"]


@given(st.lists(st.tuples(st.text(st.sampled_from("ab  骨"), max_size=5), st.sampled_from([PLAIN, FAINT, CURSOR]))))
def test_a_line_has_its_texts_and_grounds_in_its_width(parts: list[tuple[str, Style]]) -> None:
    def cells(line: Strip) -> list[tuple[str, Style | None]]:
        return [(char, None if char == " " else part.style) for part in line for char in part.text]

    def grounds(line: Strip) -> list[object]:
        return [part.style.bgcolor for part in line if part.style for char in part.text for _ in range(cell_len(char))]

    expected = Strip([Segment(text, style) for text, style in parts]).adjust_cell_length(20, PLAIN)
    line = strip(parts, 20, PLAIN)
    assert line.cell_length == 20
    assert cells(line) == cells(expected)
    assert grounds(line) == grounds(expected)


def test_a_line_is_painted_up_to_its_last_difference() -> None:
    before = strip([("run_a  ", PLAIN), ("5m", FAINT)], 9, PLAIN)
    assert changed_width(before, before) == 0
    assert changed_width(before, strip([("run_b  ", PLAIN), ("5m", FAINT)], 9, PLAIN)) == 5
    assert changed_width(before, strip([("run_a  ", PLAIN), ("6m", FAINT)], 9, PLAIN)) == 8
    assert changed_width(before, strip([("run_a  ", PLAIN), ("5m", CURSOR)], 9, PLAIN)) == 9
    assert changed_width(strip([("骨x", PLAIN)], 4, PLAIN), strip([("骨y", PLAIN)], 4, PLAIN)) == 3
