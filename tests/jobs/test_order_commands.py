"""`xray-tui launch command | hold | release | move | resume | revive`, with real jobs and the user's settings."""

from __future__ import annotations

import getpass
import json
import os
import re
import shutil
import signal
import threading
from pathlib import Path

import pytest

from engine.cli import main as engine
from xray_tui.cli.main import main
from xray_tui.jobs.actions.stop import stop
from xray_tui.jobs.locks import lock_dir
from xray_tui.jobs.model.gpu_policy import GpuPolicy
from xray_tui.jobs.model.job import State

from .conftest import Place, eventually

STUBBORN = "trap '' TERM; echo up; while :; do sleep 1; done"


class Shell:
    """The command line on the place's runs folder."""

    def __init__(self, place: Place, capsys: pytest.CaptureFixture[str]) -> None:
        self._place = place
        self._capsys = capsys

    def __call__(self, name: str, *words: object, code: int = 0) -> str:
        """What the command prints; of one that ends with 2 what it complains of."""
        assert main([name, "--runs", str(self._place.runs), *map(str, words)]) == code
        seen = self._capsys.readouterr()
        return seen.err if code else seen.out

    def jobs(self) -> dict[str, dict]:
        return {job["id"]: job for job in json.loads(self("jobs", "--json"))}


@pytest.fixture
def shell(place: Place, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Shell:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(place.folder / "config"))
    monkeypatch.setenv(lock_dir.LOCK_DIR_ENV, str(place.leases))
    monkeypatch.chdir(place.folder)
    return Shell(place, capsys)


def settings(place: Place, text: str) -> None:
    path = place.folder / "config" / "xray-tui" / "settings.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_a_command_is_launched_held_released_and_waited_for(place: Place, shell: Shell, tmp_path: Path) -> None:
    made = tmp_path / "made"
    job = shell("launch", "command", "--run", "old", "--gpu", "none", "--hold", "--", "touch", made).strip()
    assert shell.jobs()[job]["state"] == "held"
    assert shell("release", job[-4:]) == f"{job}: released\n"
    assert shell("wait", job) == ""
    assert made.exists()
    assert "release expects a waiting job" in shell("release", job, code=2)


def test_a_chain_of_commands_is_queued_by_its_ids(place: Place, shell: Shell, tmp_path: Path) -> None:
    go = tmp_path / "go"
    wait = f"while [ ! -e {go} ]; do sleep 0.05; done; exit 7"
    first = shell("launch", "command", "--run", "a", "--gpu", "none", "--", "sh", "-c", wait).strip()
    second = shell("launch", "command", "--run", "b", "--gpu", "none", "--after", first[-4:], "--", "true").strip()
    assert shell.jobs()[second]["after"] == [first]
    go.touch()
    shell("wait", first, code=7)
    eventually(lambda: shell.jobs()[second]["state"] == "blocked")
    assert shell.jobs()[second]["waits"] == "command a failed (exit code 7)"
    shell("release", second)
    assert shell("wait", second) == ""


def test_what_cannot_be_ordered_is_one_line_each_and_costs_the_others_nothing(place: Place, shell: Shell) -> None:
    job = shell("launch", "command", "--run", "a", "--gpu", "none", "--hold", "--", "true").strip()
    said = shell("hold", "nobody", job, code=2)
    assert said.count("\n") == 1
    assert "nobody: no such job" in said
    assert "expected up, down or a priority" in shell("move", job, "sideways", code=2)
    assert "is already the first of your waiting jobs" in shell("move", job, "up", code=2)
    assert "only a training can be resumed" in shell("resume", job, code=2)
    assert "priority: 100: give 0" in shell("launch", "command", "--run", "a", "--priority", 100, "--", "x", code=2)
    assert "no program" in shell("launch", "command", "--run", "a", "--", code=2)
    assert shell("revive") == ""


def test_a_resume_says_whether_it_continues_or_starts_from_the_beginning(place: Place, shell: Shell) -> None:
    job = place.launch("without_record", kind="train", run="b")
    for checkpoint, says in (
        (None, "it has no checkpoint and starts from the beginning"),
        ("nnunet/results/Dataset001_xray/t__p__2d/fold_0/checkpoint_best.pth", "it continues from its last checkpoint"),
        ("last.pt", "it continues from its last checkpoint"),
    ):
        place.until(job, State.FAILED)
        checkpoints = place.runs / "b" / "checkpoints"
        shutil.rmtree(checkpoints, ignore_errors=True)
        if checkpoint is not None:
            (checkpoints / checkpoint).parent.mkdir(parents=True)
            (checkpoints / checkpoint).touch()
        assert shell("resume", job.id) == f"{job.id}: queued again; {says}\n"


def test_the_settings_are_the_terms_of_a_launch(place: Place, shell: Shell) -> None:
    settings(place, "foreign: {idle_under: 4GiB}\nmax_gpus: 2\nhours: 00:00-23:59\non_end: [touch, ended]\n")
    job = shell("launch", "command", "--run", "a", "--gpu", "none", "--", "true").strip()
    assert place.until(place.store.get(job)).state is State.SUCCEEDED
    assert place.store.get(job).terms == GpuPolicy((), "idle_under", 4 << 30, 2, 1, "00:00-23:59")
    eventually((place.folder / "ended").exists, "the command of on_end")


@pytest.mark.parametrize(
    ("line", "said"),
    [("foreign: maybe", "foreign: 'maybe': give refuse, share"), ("hours: tonight", "give a span such as 20:00-08:00"),
     ("max_gpus: 0", "max_gpus: 0: give 1 or more"), ("slots: 9", "slots: 9: give 1"), ("gpus: [17]", "")],
)  # fmt: skip
def test_settings_that_make_no_sense_are_named_at_the_launch(place: Place, shell: Shell, line: str, said: str) -> None:
    settings(place, line)
    launch = ("launch", "command", "--run", "a", "--gpu", "none", "--", "true")
    if said:
        assert said in shell(*launch, code=2)
    else:
        shell(*launch)  # a job without a GPU does not ask which are allowed


def test_who_waits_for_a_blocked_job_is_told_that_it_may_be_for_ever(
    place: Place, shell: Shell, capsys: pytest.CaptureFixture[str]
) -> None:
    parent = shell("launch", "command", "--run", "a", "--gpu", "none", "--", "false").strip()
    child = shell("launch", "command", "--run", "b", "--gpu", "none", "--after", parent, "--", "true").strip()
    eventually(lambda: shell.jobs()[child]["state"] == "blocked")
    threading.Timer(1.0, stop, (place.store, child)).start()
    said = shell("wait", child, code=3)
    assert said.splitlines() == [
        f"{child}: is blocked: command a failed (exit code 1); release it or stop it",
        f"{child}: command b stopped: stopped by {getpass.getuser()}",
    ]


def test_a_hold_and_a_release_are_seen_before_the_supervisor_notices_them(place: Place, shell: Shell) -> None:
    blocker = place.launch("until", place.folder / "never")
    job = shell("launch", "command", "--run", "b", "--gpu", "none", "--after", blocker.id, "--", "true").strip()
    os.kill(place.until_supervised(place.store.get(job)).pid, signal.SIGSTOP)  # so that it never notices
    shell("hold", job)
    assert place.store.get(job).state is State.HELD
    shell("release", job)
    assert place.store.get(job).state is State.QUEUED
    os.kill(place.until_supervised(place.store.get(job)).pid, signal.SIGCONT)


def test_a_released_job_is_not_released_twice(place: Place, shell: Shell) -> None:
    job = shell("launch", "command", "--run", "a", "--gpu", "none", "--hold", "--", "true").strip()
    os.kill(place.until_supervised(place.store.get(job)).pid, signal.SIGSTOP)
    shell("release", job)
    assert shell("release", job, code=2) == f"xray-tui: {job}: is released already\n"
    os.kill(place.until_supervised(place.store.get(job)).pid, signal.SIGCONT)
    assert shell("wait", job) == ""


def test_a_stopping_job_says_so_and_counts(place: Place, shell: Shell) -> None:
    job = place.until_working(place.launch("sh", "-c", STUBBORN, kind="command", grace=60.0))
    shell("stop", job.id)
    assert re.search(r"a +stopping: asked by .*, killed in \d+ s", shell("jobs"))


def test_a_log_that_is_followed_says_that_the_job_waits(
    place: Place, shell: Shell, capsys: pytest.CaptureFixture[str]
) -> None:
    blocker = place.launch("until", place.folder / "go")
    job = shell("launch", "command", "--run", "b", "--gpu", "none", "--after", blocker.id, "--", "echo", "hi").strip()
    place.until_waiting(place.store.get(job), "after evaluate a (running)")
    threading.Timer(0.5, (place.folder / "go").touch).start()
    assert main(["logs", "-f", "--runs", str(place.runs), job]) == 0
    seen = capsys.readouterr()
    assert (seen.out, seen.err) == ("hi\n", f"{job}: queued, no log yet; waits: after evaluate a (running)\n")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--sweep", "seed=1,2", "--seeds", "3"], "sweep: seed: already set by seeds"),
        (
            ["--sweep", "training.lr=1e-3;3e-4"],
            "separate values with commas, and give --sweep once for each field",
        ),
        (["--gpu="], "gpu: empty: give auto, none"),
        (["--", "--set", "seed=1", "training.lr=1"], "unrecognized arguments: training.lr=1; repeat --set, as in"),
    ],
)
def test_a_launch_that_is_mistyped_says_what_was_expected(shell: Shell, words: list[str], said: str) -> None:
    options, arguments = (words[: words.index("--")], words) if "--" in words else (words, ["--"])
    given = (*options, "--run", "a", "train", *arguments, "--config", "baseline_posmetric")
    assert said in shell("launch", *given, code=2)


def test_a_mistyped_command_proposes_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lanch", "train", "--run", "a"]) == 2
    assert capsys.readouterr().err == "xray-tui: lanch: No such file or directory; did you mean the command launch?\n"
    with pytest.raises(SystemExit):
        engine(["trian", "--config", "a"])
    assert "did you mean train?" in capsys.readouterr().err


def test_an_evaluation_comes_only_after_a_training(shell: Shell) -> None:
    assert "expected a job of kind train" in shell(
        "launch", "command", "--run", "a", "--then-evaluate", "--", "true", code=2
    )
    assert shell.jobs() == {}
