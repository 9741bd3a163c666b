"""A desk to work at: a folder with runs, radiographs and a recipe, and the commands that the project installs."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.e2e.terminal import Terminal
from xray_tui.jobs.model.job import Job
from xray_tui.jobs.storage.job_store import JobStore
from xray_tui.system import process

XRAY_TUI = Path(sys.executable).with_name("xray-tui")

RECIPE = {
    "description": "A network of seconds",
    "kind": "train",
    "data": {"manifest": "../data/manifest.csv", "image_size": 64},
    "model": {"encoder": "tu-test_resnet", "decoder_channels": [32, 16, 8, 8]},
    "training": {"epochs": 3, "batch_size": 8, "warmup_epochs": 0.5},
}


class Desk:
    """A folder in which somebody works, with an environment of its own: nobody's settings, leases or runs get in."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.runs = folder / "runs"
        self.board = folder / "LEADERBOARD.md"
        ours = ("XRAY_", "XDG_", "TEXTUAL", "COLORTERM", "NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES")
        self.env = {name: value for name, value in os.environ.items() if not name.startswith(ours)} | {
            "TERM": "xterm-256color",
            "XDG_CONFIG_HOME": str(folder / "config"),
            "XDG_STATE_HOME": str(folder / "state"),
            "XDG_CACHE_HOME": str(folder / "cache"),
            "XRAY_TUI_LEASE_DIR": str(folder / "leases"),
            "HF_HUB_OFFLINE": "1",
            "OMP_NUM_THREADS": "1",
        }

    def app(self, columns: int, lines: int, **environment: str) -> Terminal:
        """`xray-tui runs` in a terminal of that size."""
        command = [str(XRAY_TUI), str(self.runs)]
        return Terminal(command, columns=columns, lines=lines, env=self.env | environment, cwd=self.folder)

    def command(self, *arguments: str) -> str:
        """What `xray-tui ARGUMENTS` prints."""
        done = subprocess.run(
            [XRAY_TUI, *arguments],
            cwd=self.folder,
            env=self.env,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        return done.stdout

    def job(self, kind: str) -> Job:
        """The newest job of that kind, as its files say."""
        return next(job for job in JobStore(self.runs).jobs() if job.spec.kind == kind)

    def clear(self) -> None:
        """Leave no process behind."""
        for job in JobStore(self.runs).jobs():
            for found in (job.supervisor, job.process, *process.members(job.id)):
                if found is not None:
                    process.send(found, signal.SIGKILL)


@pytest.fixture
def desk(tmp_path: Path, runs: Path) -> Iterator[Desk]:
    """An empty runs folder."""
    desk = Desk(tmp_path)
    yield desk
    desk.clear()


@pytest.fixture
def radiographs(desk: Desk) -> Path:
    """32 synthetic radiographs and the recipe `a_tiny`, beside the runs; without the engine's extra a skip."""
    for name in ("torch", "segmentation_models_pytorch"):  # found, not imported: that takes seconds
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"needs the extra `engine` for a real training: {name} is not installed")
    from engine.data.synthetic import make_synthetic

    configs = desk.folder / "configs"
    configs.mkdir()
    (configs / "a_tiny.yaml").write_text(yaml.safe_dump(RECIPE))
    return make_synthetic(desk.folder / "data", images=32, size=64, seed=7)
