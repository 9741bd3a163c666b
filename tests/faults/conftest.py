"""An engine that starts at once, for tests that start it many times."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import pytest

Death = tuple[str, int, float]
"""(place, which call of it, seconds after it); the places are warm_engine's."""


@dataclass(frozen=True)
class WarmEngine:
    """A process that forks an engine for each run."""

    requests: TextIO
    answers: TextIO
    output: Path
    """What the engines print."""

    def start(
        self,
        argv: list[str],
        dies: Death | None = None,
        largest_file: int | None = None,
        environment: dict[str, str] | None = None,
        without_noise: bool = False,
    ) -> int:
        """Begin a run; returns its pid. `end` has to follow."""
        self.output.write_text("")
        request = {
            "argv": argv,
            "dies": dies,
            "largest_file": largest_file,
            "output": str(self.output),
            "environment": environment or {},
            "without_noise": without_noise,
        }
        print(json.dumps(request), file=self.requests, flush=True)
        return int(self._answer())

    def end(self) -> int:
        """Wait for the run's end; its exit status, negative for a signal."""
        return int(self._answer())

    def run(
        self,
        argv: list[str],
        dies: Death | None = None,
        largest_file: int | None = None,
        without_noise: bool = False,
    ) -> int:
        self.start(argv, dies, largest_file, without_noise=without_noise)
        return self.end()

    def said(self) -> list[str]:
        """The lines that the last run has printed."""
        return self.output.read_text().splitlines()

    def _answer(self) -> str:
        line = self.answers.readline()
        assert line, "the warm engine has died"
        return line


@contextmanager
def two_warmed(project: Path, folder: Path) -> Iterator[tuple[WarmEngine, WarmEngine]]:
    """Two warm engines for the block, which share their imports."""
    pytest.importorskip("torch")
    pytest.importorskip("segmentation_models_pytorch")
    its_requests, requests = os.pipe()
    answers, its_answers = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-B", "-m", "tests.faults.warm_engine", str(its_requests), str(its_answers)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=project,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
        process_group=0,
        pass_fds=(its_requests, its_answers),
    )
    os.close(its_requests)
    os.close(its_answers)
    assert process.stdin is not None
    assert process.stdout is not None
    with process.stdin, process.stdout, open(requests, "w") as second_requests, open(answers) as second_answers:
        yield (
            WarmEngine(process.stdin, process.stdout, folder / "output.txt"),
            WarmEngine(second_requests, second_answers, folder / "second_output.txt"),
        )
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.fixture(scope="session")
def two_warm_engines(
    project: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[WarmEngine, WarmEngine]]:
    """For what takes two at once."""
    with two_warmed(project, tmp_path_factory.mktemp("warm_engines")) as engines:
        yield engines


@pytest.fixture(scope="session")
def warm_engine(two_warm_engines: tuple[WarmEngine, WarmEngine]) -> WarmEngine:
    return two_warm_engines[0]


@pytest.fixture(scope="session")
def radiographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The manifest of 40 synthetic radiographs of 64 pixels."""
    pytest.importorskip("numpy")
    from engine.data.synthetic import make_synthetic

    return make_synthetic(tmp_path_factory.mktemp("radiographs"), 40, 64, 7)
