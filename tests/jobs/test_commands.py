"""`xray-tui launch | jobs | logs | stop | wait`, with the real engine where it answers at once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from engine.contract.errors import BadInput
from xray_tui.cli.jobs import exit_code
from xray_tui.cli.main import main
from xray_tui.jobs.locks import lock_dir
from xray_tui.jobs.model.job import Job, JobSpec, State
from xray_tui.jobs.model.request import TrainRequest, read_request
from xray_tui.jobs.preflight.preflight import Outlook

from .conftest import Place, eventually


@pytest.fixture(autouse=True)
def own_settings(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the user's settings nor the machine's leases."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(place.folder / "config"))
    monkeypatch.setenv(lock_dir.LOCK_DIR_ENV, str(place.leases))


def command(*words: object) -> int:
    return main(list(map(str, words)))


def test_a_bad_config_is_refused_before_anything_is_launched(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    launch = ("launch", "train", "--runs", place.runs, "--gpu", "none", "--run", "a")
    assert command(*launch, "--", "--config", place.folder / "missing.yaml") == 2
    assert "missing.yaml" in capsys.readouterr().err
    assert place.store.jobs() == []


def test_bad_input_comes_back_through_launch_wait_jobs_and_logs(
    place: Place, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xray_tui.jobs.preflight.preflight.look_ahead", lambda *_: Outlook(()))
    launch = ("launch", "evaluate", "--runs", place.runs, "--gpu", "none", "--run", "a")
    assert command(*launch) == 0
    identity = capsys.readouterr().out.strip()
    assert command("wait", "--runs", place.runs, identity[-4:]) == 2
    assert command("wait", "--runs", place.runs) == 0, "no job is left to wait for"
    assert command("jobs", "--runs", place.runs, "--json") == 0
    (job,) = json.loads(capsys.readouterr().out)
    assert (job["id"], job["kind"], job["run"], job["state"]) == (identity, "evaluate", "a", "failed")
    assert job["cause"].startswith("bad input: ")
    assert (job["gpus"], job["progress"]) == ([], None)
    assert command("logs", "--runs", place.runs, identity) == 0
    assert "config.yaml: No such file" in capsys.readouterr().out
    assert command("jobs", "--runs", place.runs) == 0
    assert f"{identity}  evaluate  failed  a    bad input: " in capsys.readouterr().out


def test_stop_ends_a_job_and_says_what_cannot_be_stopped(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    job = place.until_working(place.launch("until", place.folder / "never"))
    assert command("stop", "--runs", place.runs, "nothing", job.id) == 2
    seen = capsys.readouterr()
    assert seen.out.startswith(f"{job.id}: ")
    assert "nothing: no such job" in seen.err
    assert command("wait", "--runs", place.runs, job.id) == 3


def test_logs_follow_to_the_end_and_let_no_control_code_through(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    job = place.launch("succeed")
    place.until(job)
    with place.store.log(job.id).open("ab") as log:
        log.write(b"1 %\r2 %\rdone \x1b[2J\x07\xff\n")
    assert command("logs", "-f", "--runs", place.runs, job.id) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "done \N{SYMBOL FOR BELL}\N{REPLACEMENT CHARACTER}"


def test_logs_follow_a_line_that_is_still_written_and_print_it_as_one(place: Place) -> None:
    script = 'printf "begin\\nhalf a li"; until [ -e go ]; do sleep 0.02; done; printf "ne\\n1 %%\\r"'
    script += '; until [ -e on ]; do sleep 0.02; done; printf "2 %%\\rdone\\nno newline"'
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place.folder)
        job = place.launch("sh", "-c", script, kind="command")
    eventually(lambda: place.log(job).endswith("half a li"), "the beginning of a line")
    printed = place.folder / "printed"
    words = [sys.executable, "-m", "xray_tui.cli.main", "logs", "-f", "--runs", str(place.runs), job.id]
    with printed.open("wb") as file, subprocess.Popen(words, stdout=file) as follower:
        eventually(lambda: b"begin\n" in printed.read_bytes(), "the first line")
        (place.folder / "go").touch()
        eventually(lambda: printed.read_bytes().count(b"\n") == 2, "the second line")
        (place.folder / "on").touch()
        assert follower.wait(60) == 0
    assert printed.read_text().splitlines() == ["begin", "half a line", "done", "no newline"]


def test_a_line_of_any_length_is_printed_as_one(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    job = place.launch("succeed")
    place.until(job)
    states = b"".join(b"%7d it\r" % number for number in range(40_000))
    place.store.log(job.id).write_bytes(b"x" * 200_000 + b"\n" + states + b"the end\r\n" + b"y" * 70_000)
    for follow in ([], ["-f"]):
        assert command("logs", *follow, "--runs", place.runs, job.id) == 0
        assert [(line[:7], len(line)) for line in capsys.readouterr().out.splitlines()] == [
            ("x" * 7, 200_000), ("the end", 7), ("y" * 7, 70_000)
        ]  # fmt: skip


def test_a_runs_folder_that_is_not_there_is_named(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("jobs", "--runs", place.folder / "missing\x1b") == 2
    assert "missing\N{SYMBOL FOR ESCAPE}: No such file or directory" in capsys.readouterr().err
    assert command("launch", "blend", "--runs", place.folder / "no" / "runs", "--run", "a", "--", "--members") == 2
    assert not (place.folder / "no").exists()


def test_the_run_is_taken_from_either_side_and_given_to_the_engine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    runs = Path("runs")
    request = TrainRequest(config="c", runs="runs")
    assert read_request("train", ["--config", "c"], runs, "a") == ("a", request)
    assert read_request("train", ["--run", "runs/x/y", "--config=c"], runs) == ("x/y", request)
    assert read_request("train", [f"--run={tmp_path}/runs/a", "--config", "c"], runs) == ("a", request)
    assert request.argv("x/y") == ("train", "--config", "c", "--run", "runs/x/y")
    for name, arguments, reason in (
        (None, [], "which run"),
        (None, ["--run", "elsewhere"], "lies outside runs; give runs/NAME"),
        (None, ["--run", "runs"], "lies outside"),
        ("b", ["--run", "runs/a"], "the engine's arguments say a"),
    ):
        with pytest.raises(BadInput, match=reason):
            read_request("train", arguments, runs, name)


SPELLINGS = ("a", "a/", "a/.", "./a", ".//a", "b/../a", "b/./../a/")


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_run_is_the_same_however_its_path_is_written(
    spelling: str, place: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(place.folder)
    (place.folder / "r.yaml").write_text("kind: train\ndata: {manifest: m.csv}\n")
    for words in (
        ("--run", spelling, "--", "--config", "r.yaml"),
        ("--", "--config", "r.yaml", "--run", f"runs/{spelling}"),
        ("--", "--config", "r.yaml", f"--run=runs/{spelling}"),
    ):
        assert command("launch", "--dry-run", "--gpu", "none", "--seeds", "1", "train", *words) == 2  # no manifest
        *_, shown = capsys.readouterr().out.splitlines()
        assert "--run runs/a_seeds/seed_1" in shown.replace("--run=", "--run ")
    assert place.launch("succeed", run=spelling).spec.run == "a"


@pytest.mark.parametrize("spelling", ["", ".", "..", "../a", "a/../../b", "/a", "a/.hidden"])
def test_a_run_outside_of_the_runs_folder_is_refused_however_it_is_written(
    spelling: str, place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(BadInput, match="run: "):
        place.launch("succeed", run=spelling)
    main(["launch", "train", "--runs", str(place.runs), "--", "--run", os.path.join(place.runs, spelling)])
    assert "run" in capsys.readouterr().err.partition("\n")[0]
    assert place.store.jobs() == []


def test_options_may_stand_on_both_sides_of_the_kind(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[JobSpec] = []

    def launch_all(self: object, specs: Sequence[JobSpec], evaluate: bool, hold: bool) -> list[Job]:
        assert not evaluate
        assert not hold
        seen.extend(specs)
        return []

    monkeypatch.setattr("xray_tui.jobs.launch.launcher.LocalLauncher.launch_all", launch_all)
    monkeypatch.setattr("xray_tui.jobs.launch.launcher.LocalLauncher.check", lambda *_: None)
    monkeypatch.setattr("xray_tui.jobs.preflight.preflight.look_ahead", lambda *_: Outlook(()))
    monkeypatch.chdir(place.folder)
    for words in (["--gpu", "1", "train"], ["train", "--gpu", "1"]):
        command("launch", *words, "--run", "a", "--", "--gpus", "2", "--set", "name=--")
    request = TrainRequest(runs="runs", gpus=2, overrides=("name=--",))
    assert seen == [JobSpec("train", "a", request, "1")] * 2


@pytest.mark.parametrize(
    ("ends", "code"),
    [
        ([(State.SUCCEEDED, 0)], 0),
        ([(State.SUCCEEDED, 0), (State.FAILED, 4), (State.FAILED, 2)], 4),
        ([(State.FAILED, -9)], 137),
        ([(State.STOPPED, None)], 3),
        ([(State.LOST, None)], 1),
        ([(State.FAILED, 0)], 1),
    ],
)
def test_wait_answers_with_the_code_of_the_first_that_did_not_succeed(
    ends: list[tuple[State, int | None]], code: int
) -> None:
    assert exit_code([Job("x", JobSpec("train", "a", ()), state, exit_code=of) for state, of in ends]) == code


def test_without_an_id_wait_waits_for_all_jobs(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    for code in (0, 7):
        launch = ("launch", "command", "--runs", place.runs, "--gpu", "none", "--run", f"r{code}")
        assert command(*launch, "--", sys.executable, "-c", f"import sys; sys.exit({code})") == 0
    assert command("wait", "--runs", place.runs) == 7
    assert all(job.state.ended for job in place.store.jobs())
    assert "command r7 failed" in capsys.readouterr().err
