"""Leaving the app waits for no slow file; what was ordered is still done, with the terminal given back already."""

from __future__ import annotations

import os
import time
from pathlib import Path

from tests.app.test_failures import broken
from tests.app.test_terminal import terminal
from tests.conftest import write

SLOW_ARTIFACT = """
import time, xray_tui.board.index as index
read = index.read_bytes
def slow(runs, path):
    if path.startswith("slow/"):
        (runs.parent / "reading").touch()
        time.sleep(600)
    return read(runs, path)
index.read_bytes = slow
"""
SLOW_EXPORT = """
import time, engine.contract.files as files
write = files.write_whole
def slow(path, *given):
    (path.parent / "writing").touch()
    time.sleep(0.5)
    write(path, *given)
files.write_whole = slow
"""


def appears(path: Path) -> None:
    deadline = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_q_does_not_wait_for_a_board_that_reads_a_slow_file(tmp_path: Path) -> None:
    took = []
    while len(took) < 3 and min(took, default=9.0) >= 1.9:  # a machine that is busy with other things may hold one up
        place = tmp_path / str(len(took))
        write(place / "runs/a/test_metrics.json", {"dice_pos": 0.3})
        with terminal(place / "runs", broken(place / "runs", SLOW_ARTIFACT)) as app:
            app.until("1 run")
            app.until("No jobs yet")  # the watch begins with the other feeds
            app.read(0.5)
            write(place / "runs/slow/test_metrics.json", {"dice_pos": 0.4})
            appears(place / "reading")
            begun = time.monotonic()
            os.write(app.descriptor, b"q")
            assert app.ends() == 0
            took.append(time.monotonic() - begun)
    assert min(took) < 1.9


def test_q_does_not_wait_for_a_form_that_reads_a_file_that_never_answers(tmp_path: Path) -> None:
    write(tmp_path / "runs/a/test_metrics.json", {"dice_pos": 0.3})
    (tmp_path / "configs").mkdir()
    os.mkfifo(tmp_path / "configs/slow.yaml")
    fault = f"import os; os.chdir({str(tmp_path)!r})"
    with terminal(tmp_path / "runs", broken(tmp_path / "runs", fault)) as app:
        app.until("1 run")
        os.write(app.descriptor, b"t")
        app.until("reading recipes")
        app.read(0.5)
        os.write(app.descriptor, b"\x1b")
        app.until("1 run")
        os.write(app.descriptor, b"q")
        assert app.ends() == 0


def test_an_export_under_way_is_finished_after_the_terminal_is_given_back(tmp_path: Path) -> None:
    write(tmp_path / "runs/a/test_metrics.json", {"dice_pos": 0.3})
    with terminal(tmp_path / "runs", broken(tmp_path / "runs", SLOW_EXPORT)) as app:
        app.until("1 run")
        os.write(app.descriptor, b"x")
        appears(tmp_path / "writing")
        os.write(app.descriptor, b"q")
        while b"\x1b[?1049l" not in app.sent:
            app.read(0.01)
        assert app.ends() == 0
    assert (tmp_path / "LEADERBOARD.md").exists()
