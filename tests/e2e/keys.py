"""What a person does with the app by keys, and how the jobs read that come of it."""

from __future__ import annotations

import re

from tests.e2e.terminal import DOWN, F5, LEFT, RIGHT, Terminal


def job_line(glyph: str, state: str, kind: str, run: str, tail: str = "") -> re.Pattern[str]:
    """How the job's line reads in the list."""
    return re.compile(rf"{glyph} {state} +{kind} +{run} .*{tail}")


def go_down_to(app: Terminal, *fields: str) -> None:
    """From field to field of a form; the line below them says which one has the focus, with its text selected."""
    for field in fields:
        app.press(DOWN)
        app.wait(f"   {field}: ")


def choose_no_gpu(app: Terminal) -> None:
    """From the field before `gpu`; the processor is its last choice, however many GPUs the machine has."""
    go_down_to(app, "gpu")
    app.press(*[RIGHT] * 16)
    app.wait(re.compile(r"gpu +▏none "))


def launch_by_keys(app: Terminal, run: str, epochs: int) -> None:
    """From the dashboard of a folder without jobs: train the recipe `a_tiny` on no GPU."""
    app.wait("No jobs yet")
    app.press("t")
    app.wait("ready")
    app.press(RIGHT, LEFT)  # away from the first of all recipes, and back to it
    app.wait("configs/a_tiny.yaml")
    go_down_to(app, "run")
    app.press(run)
    choose_no_gpu(app)
    go_down_to(app, "data.manifest", "data.image_size", "training.epochs")
    app.press(str(epochs))
    app.wait(f"--config configs/a_tiny.yaml --run runs/{run} --set training.epochs={epochs}")
    app.press(F5)
