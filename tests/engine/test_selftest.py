"""`xray-engine selftest`: one page about this machine, from any folder, with nothing left behind."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


def test_the_page_shows_every_family_and_a_training_that_was_stopped(engine_extra: None, tmp_path: Path) -> None:
    import torch

    command = [sys.executable, "-m", "engine.cli", "selftest"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "BAD" not in done.stdout
    for shown in ("plain U-Net, fp32", "DeepLabV3", "Swin3D", "classifier", "stops at SIGTERM with a checkpoint",
                  "it resumes and ends", "it is evaluated", "images/s", "out of memory (exit status 4)"):  # fmt: skip
        assert shown in done.stdout
    assert ("not shown without a GPU" in done.stdout) == (not torch.cuda.is_available())
    assert list(tmp_path.iterdir()) == []


def test_a_gpu_that_is_not_there_is_one_line(engine_extra: None, capsys: pytest.CaptureFixture[str]) -> None:
    from engine.cli import main

    assert main(["selftest", "--gpu", "63"]) == 2
    assert capsys.readouterr().err.startswith("--gpu 63: torch sees ")
