"""What is told to who comes back: jobs that ended, run and wait, results that are newer, and since when."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest

from engine.contract.errors import BadInput
from tests.app.samples import NOW, make_job, write_artifact
from tests.conftest import write
from xray_tui.board.index import RunIndex
from xray_tui.board.model import Board
from xray_tui.board.rank import rank
from xray_tui.cli.main import main
from xray_tui.jobs.model.job import Job, JobSpec, Progress, State, write_job
from xray_tui.status.last_visit import last_use, note_use, parse_since
from xray_tui.status.report import BASIS, as_json, build_report, entries, lines, results_since

HOUR = 3600.0


@pytest.fixture(autouse=True)
def own_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def board_of(runs: Path) -> Board:
    return rank(RunIndex(runs).scan())


# The board


def test_a_new_leader_is_told_with_the_one_before(runs: Path) -> None:
    write_artifact(runs, "old_best", 0.38, age=40 * HOUR)
    write_artifact(runs, "old_other", 0.30, age=41 * HOUR)
    write_artifact(runs, "fresh", 0.40, age=2 * HOUR)
    found = results_since(board_of(runs), NOW - 12 * HOUR)
    assert found.leader_changed
    assert (found.leader.run, found.leader_before.run, found.leader_before.figures["dice_pos"]) == (
        "fresh",
        "old_best",
        0.38,
    )
    assert [(result.rank, result.run, result.before) for result in found.results] == [(1, "fresh", None)]


def test_a_run_that_was_scored_again_and_better_is_told_with_its_value_before(runs: Path) -> None:
    write_artifact(runs, "leads", 0.38, age=40 * HOUR)
    write_artifact(runs, "again", 0.30, age=40 * HOUR)
    write_artifact(runs, "again", 0.35, age=HOUR, name="test_metrics_tta_hv.json")
    write_artifact(runs, "worse", 0.30, age=40 * HOUR)
    write_artifact(runs, "worse", 0.20, age=HOUR, name="test_metrics_tta_hv.json")  # what ranks is as it was
    found = results_since(board_of(runs), NOW - 12 * HOUR)
    assert not found.leader_changed
    assert [(result.run, result.value, result.before) for result in found.results] == [("again", 0.35, 0.30)]


def test_a_quiet_board_has_no_news_and_an_empty_one_no_leader(runs: Path) -> None:
    empty = results_since(board_of(runs), NOW - HOUR)
    assert (empty.results, empty.leader, empty.leader_changed) == ((), None, False)
    write_artifact(runs, "old", 0.38, age=40 * HOUR)
    quiet = results_since(board_of(runs), NOW - HOUR)
    assert (quiet.results, quiet.leader_changed) == ((), False)


def test_the_time_is_the_artifacts_own_word_where_it_has_one(runs: Path) -> None:
    made = datetime.fromtimestamp(NOW - 50 * HOUR).astimezone().isoformat()
    write_artifact(runs, "copied_today", 0.4, age=0.0, provenance={"created": made})
    assert results_since(board_of(runs), NOW - HOUR).results == ()


def test_where_lower_is_better_the_leader_is_the_lowest(runs: Path) -> None:
    write(runs / "board.yaml", "primary: hd95\n")
    write_artifact(runs, "old", 0.3, age=40 * HOUR, hd95=20.0)
    write_artifact(runs, "fresh", 0.2, age=HOUR, hd95=10.0)
    found = results_since(board_of(runs), NOW - 12 * HOUR)
    assert (found.metric, found.leader.run, found.leader_before.figures["hd95"]) == ("hd95", "fresh", 20.0)


# Jobs


JOBS = (
    make_job("j6", "held", State.HELD, waits="held by ana", started=None, ticket="50.000000000001.j6"),
    make_job("j5", "second", State.QUEUED, waits="used by pid 4711, alice", started=None, ticket="50.000000000009.j5"),
    make_job("j4", "first", State.QUEUED, started=None, ticket="40.000000000012.j4", user="bob"),
    make_job("j3", "goes_on", State.RUNNING, progress=Progress(9, 20, "epochs", "training", 130.0)),
    make_job("j2", "late", State.FAILED, cause="out of memory", ended=NOW - 10),
    make_job("j1", "early", State.SUCCEEDED, kind="evaluate", ended=NOW - 5 * HOUR, started=NOW - 6 * HOUR),
    make_job("j0", "long_ago", State.STOPPED, ended=NOW - 30 * HOUR),
)


def test_jobs_are_told_by_what_became_of_them(runs: Path) -> None:
    told = build_report(JOBS, board_of(runs), NOW - 12 * HOUR, NOW)
    assert [job.id for job in told.ended] == ["j2", "j1"]
    assert [job.id for job in told.running] == ["j3"]
    assert [job.id for job in told.waiting] == ["j4", "j5", "j6"]


def test_the_report_reads_as_short_lines(runs: Path) -> None:
    write_artifact(runs, "old", 0.38, age=40 * HOUR)
    write_artifact(runs, "fresh", 0.40, age=2 * HOUR)
    told = lines(build_report(JOBS, board_of(runs), NOW - 12 * HOUR, NOW), me="ana")
    assert told[0].startswith("Since 20")
    assert told[0].endswith(" (12h00m ago)")
    assert told[1:] == [
        "",
        "Failed: 1",
        "  failed     train     late  just now, took 10m30s  j2",
        "      out of memory",
        "",
        "Ended: 1",
        "  succeeded  evaluate  early  5h00m ago, took 1h00m  j1",
        "",
        "Running: 1",
        "  running    train     goes_on  j3",
        "      training 9/20 epochs, 2m10s left",
        "",
        "Waiting: 3",
        "  queued     train     first (bob)  j4",
        "  queued     train     second  j5",
        "      waits: used by pid 4711, alice",
        "  held       train     held  j6",
        "      waits: held by ana",
        "",
        "Board: 1 run has a new result",
        "  new leader: fresh (dice_pos 0.4000); before: old (0.3800)",
        "     1  0.4000  fresh  2h00m ago",
        f"  {BASIS}",
    ]


def test_failures_come_first_and_every_line_about_a_job_has_its_id(runs: Path) -> None:
    jobs = (JOBS[5], replace(JOBS[4], ended=NOW - 9 * HOUR, started=None))
    told = entries(build_report(jobs, board_of(runs), NOW - 12 * HOUR, NOW), 80, "ana")
    assert [job for _, job in told] == ["", "", "", "j2", "j2", "", "", "j1", "", ""]


def test_nothing_is_told_in_two_lines_and_is_no_news(runs: Path) -> None:
    told = build_report((), board_of(runs), NOW - HOUR, NOW)
    assert not told.has_news
    assert lines(told)[1:] == ["No job has ended, is running or is waiting.", "", "Board: no new results."]


def test_what_only_goes_on_is_no_news_and_what_is_blocked_is(runs: Path) -> None:
    running, queued = make_job("a", "a", State.RUNNING), make_job("b", "b", State.QUEUED, started=None)
    board = board_of(runs)
    assert not build_report([running, queued], board, NOW - HOUR, NOW).has_news
    assert build_report([replace(queued, state=State.BLOCKED)], board, NOW - HOUR, NOW).has_news


def test_of_many_results_the_best_are_listed(runs: Path) -> None:
    for number in range(14):
        write_artifact(runs, f"run_{number:02}", 0.1 + number / 100, age=HOUR)
    told = lines(build_report((), board_of(runs), NOW - 2 * HOUR, NOW))
    assert "Board: 14 runs have new results" in told
    assert told[-2] == "        and 4 more"
    assert sum("run_" in line for line in told) == 11  # with the leader's line


def test_names_from_outside_cannot_reach_the_terminal(runs: Path) -> None:
    write_artifact(runs, "odd\x1b[31m", 0.4, age=HOUR)
    told = build_report((), board_of(runs), NOW - 2 * HOUR, NOW)
    assert all(line.isprintable() for line in lines(told))
    assert json.loads(json.dumps(as_json(told)))["board"]["leader"]["run"] == "odd␛[31m"


# Since when


def test_a_span_or_a_time_says_since_when() -> None:
    assert [NOW - parse_since(text, NOW) for text in ("45s", "30m", "12h", "2 d", "1w", "1.5h")] == [
        45.0, 1800.0, 43200.0, 172800.0, 604800.0, 5400.0,
    ]  # fmt: skip
    assert parse_since("2026-02-15T08:00", NOW) == datetime(2026, 2, 15, 8, 0).timestamp()
    for text in ("", "12", "h", "-3h", "soon\x1b", "9999999d", "2026-13-01"):
        with pytest.raises(BadInput, match="expected 30m, 12h, 2d"):
            parse_since(text, NOW)


def test_a_use_is_noted_for_each_runs_folder(tmp_path: Path, runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert last_use(runs, NOW) is None
    note_use(runs, NOW - 60)
    assert last_use(runs, NOW) == NOW - 60
    monkeypatch.chdir(tmp_path)
    assert last_use(Path("runs"), NOW) == NOW - 60
    assert last_use(tmp_path, NOW) is None
    assert last_use(runs, NOW - HOUR) is None  # the clock was set back
    (kept,) = (tmp_path / "state" / "xray-tui" / "last_use").iterdir()
    for damaged in ("", "[]", '{"time": "x"}', '{"time": NaN}', '{"time": true}'):
        kept.write_text(damaged)
        assert last_use(runs, NOW) is None or damaged == '{"time": true}'


def test_without_a_state_folder_a_use_is_missed_and_nothing_else(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(write(runs / "a file", "")))
    note_use(runs, NOW)
    assert last_use(runs, NOW) is None


# The command


def ended_job(runs: Path, identity: str, ago: float, cause: str = "no space left") -> None:
    folder = runs / ".jobs" / identity
    folder.mkdir(parents=True)
    now = time.time()
    write_job(folder, Job(identity, JobSpec("train", f"run_{identity}", ()), State.FAILED, cause=cause,
                          created=now - ago - 60, started=now - ago - 60, ended=now - ago))  # fmt: skip


def test_status_tells_what_happened_since_it_was_last_asked(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ended_job(runs, "a", 2 * HOUR)
    ended_job(runs, "b", 40 * HOUR)
    assert main(["status", "--runs", str(runs)]) == 0
    first = capsys.readouterr().out
    assert "(1d00h ago)" in first
    assert "run_a" in first
    assert "run_b" not in first
    assert "      no space left" in first
    assert main(["status", "--runs", str(runs)]) == 0
    assert "No job has ended" in capsys.readouterr().out
    assert main(["status", "--runs", str(runs), "--since", "3d"]) == 0
    assert "run_b" in capsys.readouterr().out


def test_json_is_for_scripts_and_is_no_look_of_the_users(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ended_job(runs, "a", 2 * HOUR)
    for _ in range(2):
        assert main(["status", "--runs", str(runs), "--json"]) == 0
        told = json.loads(capsys.readouterr().out)
        assert [job["id"] for job in told["ended"]] == ["a"]
        assert (told["running"], told["waiting"], told["board"]["results"]) == ([], [], [])


def test_status_names_what_is_wrong_in_one_line(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "--runs", str(runs), "--since", "yesterday"]) == 2
    assert capsys.readouterr().err.startswith("xray-tui: --since yesterday: expected ")
    assert main(["status", "--runs", str(runs / "none")]) == 2
    assert "No such file or directory" in capsys.readouterr().err


def test_status_speaks_utf_8_whatever_the_locale(runs: Path) -> None:
    ended_job(runs, "a", HOUR, cause="Größe")
    command = [sys.executable, "-m", "xray_tui.cli.main", "status", "--runs", str(runs)]
    env = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = subprocess.run(command, capture_output=True, check=True, env=env)
    assert "Größe" in done.stdout.decode()
