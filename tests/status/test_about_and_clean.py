"""`xray-tui about` and `clean`: what is known about a run, and what may be removed."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from engine.contract.errors import BadInput
from tests.board.place import put
from tests.board.test_cli import xray_tui
from xray_tui.jobs.model.job import Job, JobSpec, State
from xray_tui.status.about import about_lines
from xray_tui.status.disk_use import removables, remove


def job(identity: str, run: str, state: State, days: float = 0.0) -> Job:
    then = time.time() - days * 86400
    spec = JobSpec("train", run, ("--config", "a b.yaml"))
    return Job(identity, spec, state, created=then, started=then, ended=then + 90 if state.ended else None, user="ana")


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """A run with everything, and the look at test that it took."""
    runs = tmp_path / "runs"
    put(runs / "a/config.yaml", "kind: train\nseed: 7\ndata: {manifest: ../../gone.csv}\n")
    put(runs / "a/data.csv", "id\n")
    put(runs / "a/checkpoints/best.pt", b"best")
    put(runs / "a/checkpoints/last.pt", b"last")
    put(runs / "a/predictions/test_hv/probabilities.npy", b"x" * 1000)
    provenance = {"git": "abc\x1b[31m", "engine": "0.1.0", "checkpoints": [{"sha256": "sha256:other"}]}
    put(runs / "a/test_metrics.json", {"dice_pos": 0.5, "provenance": provenance})
    looks = [{"run": run, "time": "2026-01-02", "user": "ana", "artifact": f"{run}/test_metrics.json"} for run in "ab"]
    put(runs / ".looks.jsonl", "broken\n" + "".join(json.dumps(look) + "\n" for look in looks))
    return runs


def test_everything_that_is_known_about_a_run_is_listed(runs: Path) -> None:
    lines = about_lines(runs, "a", [job("id1", "a", State.SUCCEEDED), job("id2", "b", State.SUCCEEDED)])
    text = "\n".join(lines)
    assert "id1 (ana): succeeded after 1m30s: xray-engine train --config 'a b.yaml'" in text
    assert "id2" not in text
    assert "kind train, seed 7, sha256:" in text
    assert "manifest ../../gone.csv (no longer there)" in text
    assert sum(line.startswith("checkpoint") for line in lines) == 2
    assert "test_metrics.json: git abc␛[31m, engine 0.1.0; its checkpoint has been replaced" in text
    assert "look       1: 2026-01-02 by ana: a/test_metrics.json" in lines
    assert lines[-1].startswith(
        f"again      xray-tui launch train -- --config {runs}/a/config.yaml --run {runs}/a_again"
    )
    with pytest.raises(BadInput, match="nobody: no such run"):
        about_lines(runs, "nobody", [])


def kinds(runs: Path, jobs: list[Job], days: float = 30.0) -> set[tuple[str, str]]:
    return {(each.kind, each.path.name) for each in removables(runs, jobs, days)}


def test_only_what_is_not_needed_can_be_removed(runs: Path) -> None:
    last = runs / "a/checkpoints/last.pt"
    assert kinds(runs, []) == {("caches", "predictions")}
    long_ago = time.time() - 40 * 86400
    os.utime(last, (long_ago, long_ago))
    assert kinds(runs, []) == {("caches", "predictions"), ("checkpoints", "last.pt")}
    assert kinds(runs, [job("id", "a", State.STOPPED)]) == {("caches", "predictions")}  # it may be resumed
    assert kinds(runs, [job("id", "a", State.RUNNING)]) == set()
    (runs / "a/checkpoints/best.pt").unlink()
    assert kinds(runs, []) == {("caches", "predictions")}
    put(runs / ".jobs/old/log.txt", "")
    put(runs / ".jobs/new/log.txt", "")
    jobs = [
        job("old", "b", State.FAILED, days=31),
        job("new", "b", State.FAILED),
        job("run", "b", State.QUEUED, days=40),
    ]
    assert {name for kind, name in kinds(runs, jobs) if kind == "logs"} == {"old"}


def test_what_is_removed_is_gone_and_the_rest_stays(runs: Path) -> None:
    for each in list(removables(runs, [], 30.0)):
        remove(each)
    assert not (runs / "a/predictions").exists()
    assert (runs / "a/test_metrics.json").exists()
    assert (runs / "a/checkpoints/last.pt").exists()


def test_the_commands_list_and_remove_only_what_is_asked(runs: Path) -> None:
    done = xray_tui("about", runs / "a", "--runs", runs, cwd=runs.parent)
    assert (done.returncode, done.stdout.splitlines()[0]) == (0, f"run        {runs}/a")
    listed = xray_tui("clean", "--runs", runs, cwd=runs.parent)
    assert "nothing was removed; `xray-tui clean caches checkpoints logs` removes these" in listed.stdout
    assert xray_tui("clean", "caches", "--dry-run", "--runs", runs, cwd=runs.parent).returncode == 0
    assert (runs / "a/predictions").exists()
    assert xray_tui("clean", "caches", "--runs", runs, cwd=runs.parent).stdout.endswith("1 removed\n")
    assert not (runs / "a/predictions").exists()
