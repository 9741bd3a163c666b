"""A SIGTERM in the first seconds of a training stops it, whatever is being imported then."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from .conftest import TINY, arguments, wait_for_start

LONG = bool(os.environ.get("XRAY_TUI_LONG"))

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


LOADERS = """
import importlib, os, signal, sys
from engine.cli import main

module, name = sys.argv[1].rsplit(".", 1)
module, parent = importlib.import_module(module), os.getpid()
function = getattr(module, name)

def with_a_stop(*given):
    result = function(*given)
    if os.getpid() != parent:
        os.killpg(0, signal.SIGTERM)
    return result

setattr(module, name, with_a_stop)
sys.exit(main(sys.argv[2:]))
"""


def training(project: Path, manifest: Path, run: Path, *more: str) -> list[str]:
    config = str(project / "configs" / "pretrained_dual_head.yaml")
    long = arguments(f"data.manifest={manifest}", *TINY, "training.epochs=2000", *more)
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


@pytest.mark.parametrize(
    "last",
    [
        "torch.utils.data._utils.signal_handling._set_worker_signal_handlers",
        "torch.set_num_threads",
        "engine.training.data._begin_loader",
    ],
)
def test_a_stop_while_a_loader_process_starts_saves_a_checkpoint(
    last: str, project: Path, synthetic: Path, tmp_path: Path
) -> None:
    """The stop arrives in the whole process group, as that of a job does, after a loader process has called `last`."""
    run = tmp_path / "run"
    given = [sys.executable, "-c", LOADERS, last, *training(project, synthetic, run, "data.workers=1")]
    done = subprocess.run(given, capture_output=True, text=True, timeout=120, process_group=0)
    assert done.returncode == 3, done.stderr
    assert "continue with --resume" in done.stderr
    assert (run / "checkpoints" / "last.pt").exists()


def test_a_stop_in_the_first_second_of_the_steps_saves_a_checkpoint(
    project: Path, synthetic: Path, tmp_path: Path
) -> None:
    moments = random.Random(5)
    for number in range(30 if LONG else 1):
        run = tmp_path / f"run_{number}"
        given = [sys.executable, "-m", "engine.cli", *training(project, synthetic, run, "data.workers=4")]
        process = subprocess.Popen(given, stderr=subprocess.PIPE, text=True, process_group=0)
        moment = moments.uniform(0, 1)
        try:
            wait_for_start(run, process)
            time.sleep(moment)  # any moment is right, so a busy machine only moves it
        finally:
            os.killpg(process.pid, signal.SIGTERM)
        _, error = process.communicate(timeout=120)
        assert (process.returncode, (run / "checkpoints" / "last.pt").exists()) == (3, True), (moment, error)
