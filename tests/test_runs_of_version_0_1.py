"""Runs and jobs as version 0.1 left them: every later version opens, lists, evaluates and resumes them."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from xray_tui.board.analysis import read_configs
from xray_tui.board.index import RunIndex
from xray_tui.board.rank import rank
from xray_tui.board.seed_groups import seed_groups
from xray_tui.jobs.model.job import State
from xray_tui.jobs.storage.job_store import JobStore

FIXTURE = Path(__file__).parent / "fixtures" / "version_0.1"
STATES = {
    "seeds/seed_42": {State.SUCCEEDED, State.FAILED, State.QUEUED},
    "blend": {State.SUCCEEDED},
    "stopped": {State.STOPPED},
    "held": {State.HELD},
    "other": {State.RUNNING},
}


@pytest.fixture
def challenge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the fixture, which is the working directory."""
    folder = tmp_path / "challenge"
    shutil.copytree(FIXTURE, folder)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XRAY_TUI_LEASE_DIR", str(tmp_path / "leases"))
    return folder


def xray_tui(*words: str, code: int = 0) -> str:
    """What a command prints."""
    done = subprocess.run(
        [sys.executable, "-m", "xray_tui.cli.main", *words], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (code, ""), done.stderr
    return done.stdout


def test_the_board_ranks_its_runs(challenge: Path) -> None:
    board = rank(RunIndex(challenge / "runs").scan())
    assert (board.set_aside, board.problems) == ((), ())
    assert [(row.run, row.artifact.tta, row.artifact.threshold_source) for row in board.rows] == [
        ("blend", "none", "val"), ("seeds/seed_1337", "none", "fixed"), ("seeds/seed_42", "hv", "val")
    ]  # fmt: skip
    assert all(row.artifact.fingerprint and row.artifact.intervals and row.artifact.validation for row in board.rows)
    assert [group.label for group in seed_groups(board, read_configs(board.runs, board.rows))] == ["seeds"]


def test_check_and_export_read_it(challenge: Path) -> None:
    assert xray_tui("check") == "3 artifacts, none unranked\n"
    for kind in ("markdown", "csv", "json"):
        assert "seeds/seed_1337" in xray_tui("export", "--format", kind, "--output", "-")


def test_its_jobs_are_listed_with_their_states_and_causes(challenge: Path) -> None:
    jobs = JobStore(challenge / "runs").jobs()
    assert all(job.readable for job in jobs)
    assert {run: {job.state for job in jobs if job.spec.run == run} for run in STATES} == STATES
    failed = next(job for job in jobs if job.state is State.FAILED)
    assert (failed.exit_code, (failed.cause or "")[:24]) == (2, "bad input: --presence cl")
    assert next(job for job in jobs if job.state is State.STOPPED).cause == "stopped by ana"
    printed = xray_tui("jobs")
    assert all(job.id in printed for job in jobs)
    assert {job["id"] for job in json.loads(xray_tui("jobs", "--json"))} == {job.id for job in jobs}
    assert "from a program" in xray_tui("logs", next(job.id for job in jobs if job.spec.run == "other"))
    assert "seeds/seed_42" in xray_tui("status", "--since", "2026-11-01")


def test_the_forms_start_from_its_runs(challenge: Path) -> None:
    from xray_tui.forms.context import FormContext
    from xray_tui.forms.sources import read_filling, read_sources

    training = read_sources(FormContext("train", Path("runs"), "seeds/seed_42"))
    assert training.bases[training.first].run == "seeds/seed_42"
    assert training.filling.problem is None
    assert training.filling.values["data.manifest"] == "data/manifest.csv"
    assert training.taken["held"].startswith("claimed by job ")
    blend = read_sources(FormContext("blend", Path("runs"), "blend"))
    base = next(base for base in blend.bases if base.path == Path("runs/blend/config.yaml"))
    filling = read_filling(FormContext("blend", Path("runs"), "blend"), base)
    assert filling.members == ("seeds/seed_42", "seeds/seed_1337")
    assert blend.trained == ("seeds/seed_42",)


def test_the_engine_evaluates_and_resumes_its_runs(challenge: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("segmentation_models_pytorch")
    from engine.cli import main

    run = challenge / "runs" / "seeds" / "seed_42"
    artifact = run / "test_metrics_tta_hv_tuned.json"
    before = json.loads(artifact.read_text())
    assert main(["evaluate", "--run", "runs/seeds/seed_42", "--tta", "hv", "--bootstrap", "50"]) == 0
    after = json.loads(artifact.read_text())
    assert after["selection"].pop("optimism") >= 0
    assert before["selection"].pop("optimism") is None, "added later"
    assert after["selection"].pop("look") == {"run": 1, "data": 1}
    assert {name: after[name] for name in before if name != "provenance"} == {
        name: before[name] for name in before if name != "provenance"
    }
    reason = "test_hv: made again, as an earlier version did not record its config"
    assert reason in capsys.readouterr().out
    assert main(["evaluate", "--run", "runs/seeds/seed_42", "--tta", "hv", "--bootstrap", "50"]) == 0
    assert reason not in capsys.readouterr().out
    assert main(["evaluate", "--run", "runs/seeds/seed_42", "--tta", "none", "--bootstrap", "0"]) == 0
    assert main(["train", "--run", "runs/stopped", "--resume"]) == 0
    assert "; resumed at step 189" in capsys.readouterr().out
    assert (challenge / "runs" / "stopped" / "checkpoints" / "best.pt").exists()
