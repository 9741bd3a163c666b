"""What a launch refuses, in one line, before anything is started."""

from __future__ import annotations

import importlib.util
import os
import stat
import subprocess
import sys
from dataclasses import replace

import pytest

from engine.contract.errors import BadInput
from xray_tui.jobs.launch import launcher
from xray_tui.jobs.model.job import JobSpec, State

from .conftest import Place, eventually, gpu


def refused(place: Place, spec: JobSpec) -> str:
    """The line with which the launch is refused; nothing is left of it."""
    before = place.store.jobs()
    with pytest.raises(BadInput) as error:
        place.launcher().launch(spec)
    assert place.store.jobs() == before
    (line,) = error.value.lines
    assert line.isprintable()
    return line


@pytest.mark.parametrize(
    ("run", "reason"),
    [
        ("", "empty"),
        ("/etc", "leads out of the runs folder"),
        ("../x", "leads out of the runs folder"),
        ("a/../../x", "leads out of the runs folder"),
        (".hidden", "begins with a dot"),
        ("a/.jobs/x", "begins with a dot"),
        ("a\x1b[2J", "control character"),
        ("a\nb", "control character"),
        ("\udcff", "control character"),
        ("x" * 256, "longer than 255 bytes"),
    ],
)
def test_run_names_that_lead_elsewhere_are_refused(place: Place, run: str, reason: str) -> None:
    assert reason in refused(place, JobSpec("train", run, ("train",), "none"))


def test_odd_but_harmless_names_are_taken(place: Place) -> None:
    job = place.launch("succeed", run="seeds/a|b`c` é")
    assert place.until(job).spec.run == "seeds/a|b`c` é"


def test_unknown_kinds_and_arguments_that_no_process_takes_are_refused(place: Place) -> None:
    assert "unknown kind" in refused(place, JobSpec("paint", "a", ()))
    assert "without NUL" in refused(place, JobSpec("train", "a", ("a\0b",), "none"))
    assert "UTF-8" in refused(place, JobSpec("train", "a", ("\udcff",), "none"))


def test_a_gpu_that_is_not_there_is_refused_with_those_that_are(place: Place) -> None:
    assert refused(place, JobSpec("train", "a", (), "0")) == "gpu: 0: no such GPU: No NVIDIA GPU here."
    place.have(gpu(0), gpu(1))
    assert refused(place, JobSpec("train", "a", (), "2")) == "gpu: 2: no such GPU; there are 0, 1, auto and none"
    assert "no such GPU" in refused(place, JobSpec("train", "a", (), "GPU-9"))
    assert "give auto, none, indices" in refused(place, JobSpec("train", "a", (), "first\x1b"))


def test_a_training_into_a_claimed_folder_is_refused_and_an_evaluation_may_queue(place: Place) -> None:
    place.until_working(place.launch("until", place.folder / "never", kind="train", run="unet", cpu_slots=1))
    waiting = place.launch("succeed", kind="train", run="mine", cpu_slots=1)
    assert "unet: claimed by job" in refused(place, JobSpec("train", "unet", ("train", "--resume"), "none"))
    assert f"claimed by job {waiting.id} (queued)" in refused(place, JobSpec("train", "mine/", (), "none"))
    assert place.launch("succeed", kind="evaluate", run="unet", cpu_slots=1).state is State.QUEUED


def test_a_lost_training_claims_nothing(place: Place) -> None:
    job = place.until_working(place.launch("until", place.folder / "never", kind="train", run="unet"))
    place.kill_supervisor(job)
    place.clear()
    assert job.process is not None
    pid = job.process
    eventually(lambda: not launcher.process.is_alive(pid))
    assert place.until(place.launch("succeed", kind="train", run="unet")).state is State.SUCCEEDED


def test_a_folder_that_is_not_empty_is_trained_into_by_resume_only(place: Place) -> None:
    (place.runs / "unet").mkdir()
    assert place.until(place.launch("succeed", kind="train", run="unet")).state is State.SUCCEEDED
    (place.runs / "unet" / "config.yaml").touch()
    assert "not empty; give --resume" in refused(place, JobSpec("train", "unet", ("succeed",), "none"))
    spec = JobSpec("train", "unet", ("note", str(place.folder / "n"), "--resume"), "none")
    assert place.until(place.launcher().launch(spec)).state is State.SUCCEEDED


def test_without_the_engine_one_line_says_how_to_get_it(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "torch" else find(name))
    real = replace(place.launcher(), engine=launcher.ENGINE)
    with pytest.raises(BadInput) as error:
        real.launch(JobSpec("train", "a", (), "none"))
    assert error.value.lines == ("the engine is not installed (torch is missing): pip install 'xray-tui[engine]'",)


def test_a_supervisor_that_cannot_be_started_leaves_nothing(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object, **settings: object) -> None:
        raise OSError(12, "Cannot allocate memory")

    monkeypatch.setattr("xray_tui.jobs.supervise.detach.subprocess.run", fail)
    assert "Cannot allocate memory" in refused(place, JobSpec("evaluate", "a", (), "none"))
    assert list((place.runs / ".jobs").iterdir()) == []
    assert list((place.leases / "queue").iterdir()) == []


def test_launching_imports_nothing_heavy() -> None:
    program = (
        "import sys, xray_tui.jobs.launch.launcher, xray_tui.jobs.supervise.supervisor, xray_tui.cli.jobs\n"
        "heavy = {'torch', 'numpy', 'textual', 'pydantic', 'psutil', 'pynvml', 'asyncio'} & set(sys.modules)\n"
        "sys.exit(', '.join(heavy) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("umask", [0o000, 0o002, 0o077])
def test_everybody_sees_a_job_and_nobody_else_changes_it_whatever_the_umask(place: Place, umask: int) -> None:
    before = os.umask(umask)
    try:
        job = place.until(place.launch("succeed"))
    finally:
        os.umask(before)
    folder = place.store.folder(job.id)
    assert [stat.S_IMODE(path.stat().st_mode) for path in (folder, folder / "job.json")] == [0o755, 0o644]


def test_a_file_system_without_modes_is_refused(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xray_tui.system.safe_files.FOLDER_MODE", 0o777)
    assert "can be changed by others (mode 0777)" in refused(place, JobSpec("evaluate", "a", ("succeed",), "none"))
    assert list((place.leases / "queue").iterdir()) == []


def test_a_shell_that_cannot_fork_is_told_in_one_line(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xray_tui.jobs.supervise.detach._BACKGROUND", "exit 2")
    line = refused(place, JobSpec("evaluate", "a", ("succeed",), "none"))
    assert "the supervisor could not be started (sh exited with code 2); the job was not launched" in line
    assert list((place.leases / "queue").iterdir()) == []
