"""The command line answers at once, in one line, with the right exit status."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from engine.cli import main, make_parser

HEAVY = ("torch", "torchvision", "segmentation_models_pytorch", "sklearn", "pandas", "numpy", "pydantic")


@pytest.mark.parametrize("arguments", [["--help"], ["train", "--help"], ["train", "--epochs"], ["nonsense"], []])
def test_help_and_bad_arguments_import_nothing_heavy(arguments: list[str]) -> None:
    script = (
        "import sys\n"
        "from engine.cli import main\n"
        "try:\n    main(sys.argv[1:])\nexcept SystemExit:\n    pass\n"
        f"print(sorted(set({HEAVY!r}) & set(sys.modules)), file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True)
    assert done.stderr.strip().splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["train", "--config", "none.yaml"], "none.yaml: No such file"),
        (["train"], "give --config FILE"),
        (["evaluate", "--run", "none"], "none/config.yaml: No such file"),
        (["evaluate", "--run", "none", "--threshold", "2"], "threshold"),
        (["evaluate", "--run", "none", "--threshold", "nan"], "threshold"),
        (["evaluate", "--run", "none", "--output", "x"], "--output: add --manifest"),
        (["blend", "--members", "a"], "expected two runs or more"),
        (["blend", "--members", "a", "a"], "a run appears twice"),
        (["prepare", "none", "--output", "out"], "none"),
    ],
)
def test_bad_input_is_one_line_and_exit_status_2(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert says in error
    assert len(error.strip().splitlines()) <= 2
    assert "Traceback" not in error
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["train", "--config", "bad.yaml"],
        ["evaluate", "--run", "missing"],
        ["blend", "--members", "missing_a", "missing_b"],
        ["nnunet", "score", "--run", "missing"],
        ["prepare", "missing", "--output", "out"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_bad_input_is_reported_before_torch_is_imported(tmp_path: Path, arguments: list[str]) -> None:
    (tmp_path / "bad.yaml").write_text("training: {epochs: 0}")
    script = "import sys; from engine.cli import main; print(main(sys.argv[1:]), 'torch' in sys.modules)"
    command = [sys.executable, "-c", script, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.stdout.split()[-2:] == ["2", "False"]


@pytest.mark.parametrize("spelling", ["a", "a/", "a/.", "a//", "b/../a"])
def test_the_engine_takes_a_run_however_its_path_is_written(spelling: str) -> None:
    run, parser = f"runs/{spelling}", make_parser()
    for words in (
        ["train", "--run", run],
        ["average", "--run", run, "--output", run],
        ["evaluate", "--run", run],
        ["blend", f"--run={run}"],
        ["nnunet", "score", "--run", run],
    ):
        given = parser.parse_args(words)
        assert {str(given.run), str(getattr(given, "output", None) or given.run)} == {"runs/a"}, words


def test_a_launched_engine_leaves_its_end_record(tmp_path: Path, job_folder: Path) -> None:
    assert main(["train", "--config", str(tmp_path / "none.yaml")]) == 2
    record = json.loads((job_folder / "end.json").read_text())
    assert record["code"] == 2
    assert "No such file" in record["cause"]


def test_recipes_are_listed_with_what_they_are_and_need(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(project)
    assert main(["recipes"]) == 0
    lines = capsys.readouterr().out.splitlines()
    named = [line.split()[0] for line in lines if not line.startswith(" ")]
    assert named == sorted(path.stem for path in (project / "configs").glob("[!_]*.yaml"))
    below = lines[next(place for place, line in enumerate(lines) if line.startswith("deeplab_full ")) + 1]
    assert "needs ImageNet weights from the hub" in below


def test_a_recipe_that_its_launch_would_refuse_is_listed_with_what_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "typo.yaml").write_text("description: mine\ntraining: {epocs: 3}\n")
    monkeypatch.chdir(tmp_path)
    assert main(["recipes"]) == 0
    (line,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith("typo "))
    assert line.endswith("configs/typo.yaml: training.epocs: unknown key; did you mean epochs?")


def test_a_job_starts_each_line_of_its_output_with_the_time_and_other_commands_do_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, job_folder: Path
) -> None:
    stamp = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d "
    assert main(["recipes"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) > 3
    assert all(re.match(stamp, line) for line in lines)
    assert main(["evaluate", "--run", str(tmp_path / "none")]) == 2
    assert re.fullmatch(f"({stamp}.+\n)+", capsys.readouterr().err)
    monkeypatch.delenv("XRAY_JOB_DIR")
    assert main(["recipes"]) == 0
    assert capsys.readouterr().out.splitlines() == [re.sub(stamp, "", line, count=1) for line in lines]
