"""Looks at test: how many choices were scored on a test split, by a run and by all."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from engine.cli import main
from engine.contract.text import look_text
from engine.evaluation.looks import looks_file, record_look

DATA, OTHER = "sha256:aa", "sha256:bb"


def look(run: Path, key: str, data: str = DATA) -> dict[str, int] | None:
    return record_look(run, data, key, run / "test_metrics.json")


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    for name in ("a", "b", "seeds/seed_1"):
        (tmp_path / "runs" / name).mkdir(parents=True)
    return tmp_path / "runs"


def test_distinct_choices_are_numbered_by_run_and_by_data(runs: Path) -> None:
    assert look(runs / "a", "k1") == {"run": 1, "data": 1}
    assert look(runs / "a", "k2") == {"run": 2, "data": 2}
    assert look(runs / "b", "k1") == {"run": 1, "data": 3}, "the same choice of another run"
    assert look(runs / "seeds" / "seed_1", "k1") == {"run": 1, "data": 4}, "one file for nested runs too"
    assert look(runs / "a", "k1", OTHER) == {"run": 1, "data": 1}
    before = (runs / ".looks.jsonl").read_bytes()
    assert look(runs / "a", "k2") == {"run": 2, "data": 2}
    assert (runs / ".looks.jsonl").read_bytes() == before
    line = json.loads(before.splitlines()[3])
    assert line.keys() == {"time", "user", "data", "key", "run", "artifact"}
    assert (line["run"], line["artifact"]) == ("seeds/seed_1", "seeds/seed_1/test_metrics.json")


def test_broken_lines_are_skipped_and_do_not_swallow_the_next_one(runs: Path) -> None:
    broken = [b"{", b"\xff", b"[]", b'{"data": "sha256:aa", "run": 1, "key": []}', b"[" * 100_000, b'{"data": "sha2']
    (runs / ".looks.jsonl").write_bytes(b"\n".join(broken))
    assert look(runs / "a", "k1") == {"run": 1, "data": 1}
    assert look(runs / "a", "k1") == {"run": 1, "data": 1}


def test_the_file_is_writable_for_those_who_can_write_to_the_runs_folder(runs: Path) -> None:
    runs.chmod(0o2775)
    look(runs / "a", "k1")
    assert (runs / ".looks.jsonl").stat().st_mode & 0o777 == 0o664


@pytest.mark.parametrize("obstacle", ["folder", "pipe", "link"])
def test_a_file_that_cannot_be_used_makes_looks_unknown(obstacle: str, runs: Path) -> None:
    path = runs / ".looks.jsonl"
    make = {"folder": path.mkdir, "pipe": lambda: os.mkfifo(path), "link": lambda: path.symlink_to(runs / "elsewhere")}
    make[obstacle]()
    assert look(runs / "a", "k1") is None
    assert not (runs / "elsewhere").exists()


def test_the_file_is_in_the_runs_folder_whatever_its_name(tmp_path: Path) -> None:
    run = tmp_path / "board" / "seeds" / "seed_1"
    run.mkdir(parents=True)
    assert looks_file(run) == tmp_path / "board" / "seeds" / ".looks.jsonl"
    (tmp_path / "board" / ".jobs").mkdir()
    assert looks_file(run) == tmp_path / "board" / ".looks.jsonl"


@pytest.mark.parametrize(
    ("number", "text"), [(1, "1st"), (2, "2nd"), (3, "3rd"), (4, "4th"), (11, "11th"), (22, "22nd"), (113, "113th")]
)
def test_looks_in_words(number: int, text: str) -> None:
    assert look_text({"run": number, "data": number}) == f"{text} look at test by this run, {text} by all runs"


@pytest.mark.parametrize("look", [None, 3, {}, {"run": 1}, {"run": True, "data": 1}, {"run": 0, "data": -1}])
def test_looks_that_are_not_two_numbers_are_unknown(look: object) -> None:
    assert look_text(look) == "looks unknown"


@pytest.mark.usefixtures("engine_extra")
def test_evaluations_and_blends_count_their_looks(runs_copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def look_of(path: Path) -> object:
        return json.loads(path.read_text())["selection"]["look"]

    given = ["evaluate", "--run", str(runs_copy / "plain"), "--tta", "none", "--bootstrap", "0"]
    assert main(given) == 0
    assert "1st look at test by this run, 1st by all runs" in capsys.readouterr().out
    assert main([*given, "--threshold", "0.5"]) == 0
    assert "2nd look at test by this run, 2nd by all runs" in capsys.readouterr().out
    assert main(given) == 0
    assert look_of(runs_copy / "plain" / "test_metrics_tuned.json") == {"run": 1, "data": 1}
    both = ["--members", str(runs_copy / "plain"), str(runs_copy / "dual"), "--run", str(runs_copy / "both")]
    assert main(["blend", *both, "--tta", "none", "--set", "bootstrap=0"]) == 0
    assert look_of(runs_copy / "both" / "test_metrics_tuned.json") == {"run": 1, "data": 3}
    (runs_copy / ".looks.jsonl").unlink()
    (runs_copy / ".looks.jsonl").mkdir()
    capsys.readouterr()
    assert main(given) == 0
    assert "looks unknown" in capsys.readouterr().out
    assert look_of(runs_copy / "plain" / "test_metrics_tuned.json") is None
