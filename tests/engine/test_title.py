"""The title that a job's process carries for everybody else on the server."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
from pathlib import Path

import pytest

from engine.process.progress import pace

SHOW = (
    "import sys; from engine.process.progress import report; report('train', 42, 100, 'steps', 3900.0); "
    "print(open('/proc/self/cmdline', 'rb').read().decode(), open('/proc/self/environ', 'rb').read().decode())"
)


def shown(folder: Path, **marks: str) -> tuple[str, str]:
    """The title and the environment of a process whose command line is as long as an engine's usually is."""
    argv = [sys.executable, "-c", SHOW, "train", "--run", "runs/unet_a", "--resume"]
    environment = {"PATH": os.environ["PATH"], **marks}
    done = subprocess.run(argv, capture_output=True, text=True, env=environment, cwd=folder, check=True)
    title, _, environ = done.stdout.rstrip("\n").partition(" PATH=")
    return title.rstrip("\0"), environ


def test_a_job_tells_its_run_its_owner_and_the_time_left(project: Path, tmp_path: Path) -> None:
    pytest.importorskip("setproctitle")
    marks = {"XRAY_JOB_DIR": str(tmp_path), "XRAY_TUI_RUN": "unet_a", "XRAY_TUI_JOB": "j1"}
    title, environ = shown(project, **marks)
    assert title == f"xray-tui unet_a ({pwd.getpwuid(os.getuid()).pw_name}) 42% 1h05m left"
    assert "XRAY_TUI_JOB=j1" in environ, "the mark by which the job's processes are found is not written over"


def test_an_engine_that_is_no_job_keeps_its_command_line(project: Path) -> None:
    title, _ = shown(project, XRAY_TUI_RUN="unet_a")
    assert title.startswith(sys.executable)


def test_a_job_runs_without_setproctitle_too(project: Path, tmp_path: Path) -> None:
    (tmp_path / "setproctitle.py").write_text("raise ImportError('not installed')")
    title, _ = shown(project, XRAY_JOB_DIR=str(tmp_path), PYTHONPATH=str(tmp_path))
    assert title.startswith(sys.executable)
    assert (tmp_path / "progress.json").exists()


def test_a_phase_without_an_end_in_sight_has_no_time_left() -> None:
    assert pace(0, 0, None) == "0%"
    assert pace(99, 100, 0.4) == "99% 0s left"
