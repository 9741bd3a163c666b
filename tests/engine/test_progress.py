"""Bars and lines on a real terminal: neither runs into the other."""

from __future__ import annotations

import itertools
import os
import re
import sys
from pathlib import Path

import pytest

from tests.e2e.terminal import Terminal

pytestmark = pytest.mark.usefixtures("engine_extra")

BAR = re.compile(r"\d+%\|.*\]")
RECIPE = (
    "data: {image_size: 64, manifest: data/manifest.csv}\nmodel: {arch: plain_unet, levels: 2, channels: 4}\n"
    "training: {epochs: 3, batch_size: 8}\n"
)
ONE_AFTER_ANOTHER = """
import sys
from engine.cli import main
for command in sys.argv[1:]:
    print("$", command, flush=True)
    assert main(command.split()) == 0
"""
TOOL = """
import os
from engine.nnunet.tool import run_tool
from engine.process.progress import Progress
with Progress("train nn", 3, "epochs") as progress:
    run_tool(["sh", "-c", "for epoch in 1 2 3; do echo Epoch $epoch; done"], dict(os.environ),
             on_line=lambda line: progress.advance())
"""


def transcript(cwd: Path, *command: str) -> tuple[list[str], list[str]]:
    """(all that was written onto a line of the terminal at once, the lines that are left on its screen)."""
    environment = {**os.environ, "TERM": "xterm-256color", "OMP_NUM_THREADS": "1"}
    with Terminal([sys.executable, *command], columns=150, lines=60, env=environment, cwd=cwd) as terminal:
        assert terminal.exit_status(120) == 0, terminal.text
        sent = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal.sent.decode("utf-8", "replace"))
        return re.split(r"[\r\n]+", sent), [line for line in terminal.text.splitlines() if line]


def test_the_lines_of_every_command_stand_alone_and_no_bar_is_left(tmp_path: Path) -> None:
    from engine.data.synthetic import make_synthetic

    make_synthetic(tmp_path / "data", 60, 64, 1)
    (tmp_path / "c.yaml").write_text(RECIPE)
    commands = {
        "train --config c.yaml --run runs/a": [f"epoch {epoch}/3 " for epoch in (1, 2, 3)],
        "train --config c.yaml --run runs/b --set seed=1": ["epoch 3/3 "],
        "evaluate --run runs/a": ["threshold ", "validation "],
        "blend --members runs/a runs/b --run runs/c": ["weights: ", "validation "],
        "prepare data/manifest.csv --output prepared": ["prepared/manifest.csv", "  test "],
    }
    written, left = transcript(tmp_path, "-c", ONE_AFTER_ANOTHER, *commands)
    assert [text for text in written if BAR.search(text) and BAR.split(text)[-1].strip()] == []
    assert [line for line in left if BAR.search(line)] == []
    for command, lines in commands.items():
        after = left[left.index(f"$ {command}") + 1 :]
        its = list(itertools.takewhile(lambda line: not line.startswith("$ "), after))
        for line in lines:
            assert sum(text.startswith(line) for text in its) == 1, (line, its)
    assert any(BAR.search(text) for text in written), "there was no bar to run into"


def test_the_lines_of_a_program_that_the_engine_runs_stand_alone_too(tmp_path: Path, project: Path) -> None:
    written, left = transcript(tmp_path, "-c", f"import sys; sys.path.insert(0, {str(project)!r})\n{TOOL}")
    assert left == ["Epoch 1", "Epoch 2", "Epoch 3"]
    assert any(BAR.search(text) for text in written)
    assert not any(BAR.search(text) and "Epoch" in text for text in written)
