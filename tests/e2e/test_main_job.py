"""The main job, as a person does it: train, walk away, come back, evaluate, look at the board, export it."""

from __future__ import annotations

import re
import signal
from pathlib import Path

from tests.conftest import write
from tests.e2e.conftest import Desk
from tests.e2e.keys import choose_no_gpu, job_line, launch_by_keys
from tests.e2e.terminal import ESCAPE, F5
from xray_tui.system import process

EPOCHS = 40
"""Some seconds, where the list of jobs is read anew each second."""

TERMINALS_OWN = {7, 25}
"""Autowrap and a visible cursor: what a terminal has on by itself."""


def test_a_training_outlives_the_app_is_stopped_and_resumed_and_its_evaluation_reaches_the_board(
    desk: Desk, radiographs: Path
) -> None:
    with desk.app(150, 40) as app:
        launch_by_keys(app, "seeds/seed_42", EPOCHS)
        app.wait(job_line("▶", "running", "train", "seeds/seed_42", r" [1-9]\d?%"))
        app.kill()

    engine = desk.job("train").process
    assert engine is not None
    assert process.send(engine, signal.SIGSTOP), "the engine died with the app"

    with desk.app(150, 40) as app:
        app.wait(job_line("▶", "running", "train", "seeds/seed_42", r" [1-9]\d?%"))
        app.press("3", "K")
        app.wait("Stop train seeds/seed_42?")
        process.send(engine, signal.SIGCONT)  # stood still, so that no machine is too fast to see it running
        app.press("y")
        app.wait(job_line("■", "stopped", "train", "seeds/seed_42"))
        app.wait(f"stopped by {process.user()}")
        assert not process.is_alive(engine)
        assert (desk.runs / "seeds" / "seed_42" / "checkpoints" / "last.pt").is_file()

        app.press("3", "R")
        app.wait(job_line("✓", "succeeded", "train", "seeds/seed_42"))
        app.wait(f"epoch {EPOCHS}/{EPOCHS}")
        app.press("e")
        app.wait("xray-engine evaluate --run runs/seeds/seed_42 --tta auto --threshold tuned")
        choose_no_gpu(app)
        app.press(F5)
        app.wait(re.compile(r"│ \+ +1 seeds/seed_42 +0\.\d{4} .* h +now "))  # + marks what has just come
        app.wait(job_line("✓", "succeeded", "evaluate", "seeds/seed_42"))
        app.press("x")
        app.wait("Exported 1 run to")
        app.press("q")
        assert app.exit_status() == 0
        assert app.modes_left_on <= TERMINALS_OWN

    exported = desk.board.read_text()
    assert re.search(r"^\| 1 \| `seeds/seed_42` \| 0\.\d{4} .* \| `seeds/seed_42/test_metrics_tta_h_tuned.json` \|$",
                     exported, re.MULTILINE)  # fmt: skip
    printed = desk.command("export", "--runs", "runs", "--output", "-")
    assert what_does_not_pass(exported) == what_does_not_pass(printed)


def what_does_not_pass(board: str) -> str:
    """The exported board without the time it was made and the GPUs of that moment."""
    return re.sub(r"_Generated: .*?_\n|## GPU Status\n.*?(?=## )", "", board, flags=re.DOTALL)


def test_without_colours_the_dashboard_and_its_forms_fit_into_80_by_24(desk: Desk) -> None:
    write(desk.runs / "plain" / "test_metrics_tta_hv.json", {"dice_pos": 0.378, "tta_mode": "hv"})
    with desk.app(80, 24, NO_COLOR="1") as app:
        board = re.compile(r"│ +1 plain +0\.3780 ")
        keys = re.compile(r"\? help +q quit$")
        app.wait(board)
        app.wait(keys)
        opened = (
            ("t", "Train a network", "esc leave"),
            ("?", "Dashboard", "esc closes"),
            ("p", "there are no problems", "esc closes"),
        )
        for key, seen, last_line in opened:
            app.press(key)
            app.wait(seen)
            app.wait(last_line)  # drawn to its end: an escape sent before, and the next key, would be one: alt+key
            app.press(ESCAPE)
            app.wait(board)
            app.wait(keys)
        app.press("q")
        assert app.exit_status() == 0
        assert app.colours == set()
