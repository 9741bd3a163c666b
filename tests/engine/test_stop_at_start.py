"""A SIGTERM in the first seconds of a training stops it, whatever is being imported then."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from .conftest import TINY, arguments

pytestmark = pytest.mark.usefixtures("engine_extra")

SWALLOWS = """
import os, signal, sys
from engine.cli import main

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == sys.argv[1]:
            try:  # as libraries do around optional imports
                os.kill(os.getpid(), signal.SIGTERM)
                for _ in range(1000):
                    pass
            except BaseException:
                print("swallowed", flush=True)

sys.meta_path.insert(0, Finder())
sys.exit(main(sys.argv[2:]))
"""


def training(project: Path, manifest: Path, run: Path) -> list[str]:
    config = str(project / "configs" / "pretrained_dual_head.yaml")
    long = arguments(f"data.manifest={manifest}", *TINY, "training.epochs=2000")
    return ["train", "--config", config, "--run", str(run), *long]


@pytest.mark.parametrize("module", ["torch.nn", "segmentation_models_pytorch"])
def test_a_stop_during_an_import_that_swallows_exceptions_is_not_lost(
    module: str, project: Path, synthetic: Path, tmp_path: Path
) -> None:
    given = [sys.executable, "-c", SWALLOWS, module, *training(project, synthetic, tmp_path / "run")]
    done = subprocess.run(given, capture_output=True, text=True, timeout=120)
    assert (done.returncode, "swallowed" in done.stdout) == (3, False), done.stderr
    assert "stopped" in done.stderr


@pytest.mark.parametrize("moment", [0.3, 2.0])
def test_a_stop_at_any_moment_of_the_start_ends_the_training(
    moment: float, project: Path, synthetic: Path, tmp_path: Path
) -> None:
    given = [sys.executable, "-u", "-m", "engine.cli", *training(project, synthetic, tmp_path / "run")]
    process = subprocess.Popen(given, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert "loading" in process.stdout.readline()
    time.sleep(moment)  # any moment is right, so a busy machine only moves it
    process.send_signal(signal.SIGTERM)
    _, error = process.communicate(timeout=120)
    assert process.returncode == 3, error
    assert error.splitlines()[-1].startswith("stopped")
