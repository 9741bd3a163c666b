"""A command whose program cannot be run is refused at its launch, as the supervisor would find it."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from engine.contract.errors import BadInput
from xray_tui.cli.main import main
from xray_tui.jobs.actions.queue_actions import release
from xray_tui.jobs.model.job import JobSpec, State

from .conftest import Place


@pytest.fixture
def work(place: Place, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with a script that may be run, one that may not, and a folder bin on the PATH."""
    work = place.folder / "work"
    (work / "bin").mkdir(parents=True)
    for name, mode in (("run.sh", 0o755), ("plain.sh", 0o644), ("bin/mine", 0o755), ("bin/closed", 0o644)):
        (work / name).write_text("#!/bin/sh\necho ran\n")
        (work / name).chmod(mode)
    monkeypatch.chdir(work)
    monkeypatch.setenv("PATH", f"bin:{os.environ['PATH']}")
    return work


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (("ll",), "ll: no such program on the PATH; aliases, functions and builtins of a shell are not programs"),
        (("cd /tmp && echo done",), "bash -c 'cd /tmp && echo done'"),
        (("sort a > b",), "bash -c 'sort a > b'"),
        (("$HOME/run", "x"), "bash -c '$HOME/run x'"),
        (("LR=1e-3", "sh", "run.sh"), "set it with env, as in: env LR=1e-3 sh run.sh"),
        (("./plain.sh",), "not executable; chmod +x it, or name its interpreter, as in: bash ./plain.sh"),
        (("closed",), "closed: not executable"),
        (("./bin",), "./bin: a folder; expected a program"),
        (("./missing.sh",), "./missing.sh: no such file; expected a program"),
        (("run.sh",), "run.sh: no such program on the PATH"),
        (("\x1b[2Jll",), "command: "),
        (("",), "command: "),
    ],
)
def test_what_is_no_program_is_refused_with_what_would_be_one(
    argv: tuple[str, ...], said: str, place: Place, work: Path
) -> None:
    with pytest.raises(BadInput, match=re.escape(said)) as caught:
        place.launcher().launch(JobSpec("command", "a", argv, "none"))
    (line,) = caught.value.lines
    assert line.isprintable()
    assert place.store.jobs() == []


@pytest.mark.parametrize("argv", [("./run.sh",), ("bin/mine",), ("mine",), ("sh", "plain.sh"), ("env", "A=1", "mine")])
def test_a_program_is_looked_up_as_its_job_starts_it(argv: tuple[str, ...], place: Place, work: Path) -> None:
    job = place.until(place.launcher().launch(JobSpec("command", "a", argv, "none")))
    assert (job.state, place.log(job)) == (State.SUCCEEDED, "ran\n")


def test_the_log_of_a_job_that_could_not_be_started_says_why(
    place: Place, work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job = place.launcher().launch(JobSpec("command", "a", ("./run.sh",), "none"), hold=True)
    (work / "run.sh").unlink()
    release(place.store, job.id)
    reason = "could not be started: ./run.sh: No such file or directory (the program, or the interpreter"
    assert reason in (place.until(job).cause or "")
    for follow in ([], ["-f"]):
        assert main(["logs", *follow, "--runs", str(place.runs), job.id]) == 0
        seen = capsys.readouterr()
        assert (seen.out, seen.err.count("\n")) == ("", 1)
        assert f"{job.id}: failed, its log is empty: could not be started: " in seen.err
