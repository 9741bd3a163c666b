"""Keys that come all at once, as a slow line delivers them: they act in the order in which they were pressed."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from textual import events
from textual.pilot import Pilot

from tests.conftest import PROJECT
from tests.e2e.terminal import DOWN, F5, Terminal

from .place import FormApp, focus, row, settle, text

pytestmark = pytest.mark.usefixtures("place")
CLEAR, UP = "\x15", "\x1b[A"
COMMAND, SUMMARY = "#form-command-text", "#form-summary"
PROGRAM = """
from tests.forms.place import FormApp
class Program(FormApp):
    def left(self, result):
        self.exit(result)
print(*Program("train").run().specs[0].argv)
"""


async def burst(pilot: Pilot[None], *keys: str) -> None:
    """All keys before the app sees the first."""
    for key in keys:
        pilot.app.post_message(events.Key(key, key if len(key) == 1 else None))
    await pilot.press()
    await settle(pilot)


async def test_what_is_typed_after_ctrl_u_stays_in_the_field() -> None:
    app = FormApp("train")
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        focus(app, "training.epochs")
        await burst(pilot, "ctrl+u", "4", "0", "1", "backspace")
        assert row(app, "training.epochs").control.value == "40"


async def test_f5_at_the_end_launches_with_what_was_typed_before_it_in_several_fields() -> None:
    app = FormApp("train")
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        focus(app, "run")
        await pilot.pause()
        await burst(pilot, *"one", "down", "down", "down", *"96", "down", "7", "up", "ctrl+u", *"128", "f5")
    argv = ("train", "--config", "configs/dual.yaml", "--run", "runs/one")
    assert app.results[0].specs[0].argv == (*argv, "--set", "data.image_size=128", "--set", "training.epochs=7")


async def test_keys_wait_for_the_recipe_that_was_chosen_before_them() -> None:
    app = FormApp("train")
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await burst(pilot, "right", "down", *"mine", "f5")
    assert app.results[0].specs[0].argv == ("train", "--config", "configs/plain.yaml", "--run", "runs/mine")


async def test_a_list_is_opened_searched_and_left_in_one_burst() -> None:
    app = FormApp("evaluate", current="plain_a")
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        focus(app, "tta")
        await burst(pilot, "space", "d", "4", "enter", "down", *"0.25", "f5")
    argv = ("evaluate", "--run", "runs/plain_a", "--tta", "d4", "--threshold", "0.25")
    assert app.results[0].specs[0].argv == argv


async def test_a_file_name_goes_to_the_question_that_was_just_opened(place: Path) -> None:
    app = FormApp("train")
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await burst(pilot, "ctrl+s", "ctrl+u", *"mine", "enter")
        assert (place / "mine.yaml").exists()


def test_a_terminal_may_send_a_whole_form_in_one_piece(place: Path) -> None:
    env = {**os.environ, "TERM": "xterm-256color", "PYTHONPATH": str(PROJECT)}
    command = [sys.executable, "-c", PROGRAM]
    with Terminal(command, columns=80, lines=24, env=env, cwd=place) as program:
        program.wait("ready")
        program.press(f"{DOWN}one{DOWN * 3}{CLEAR}96{DOWN}400\x7f\x7f{UP}{CLEAR}128{F5}")
        assert program.exit_status() == 0
        argv = "train --config configs/dual.yaml --run runs/one --set data.image_size=128 --set training.epochs=4"
        assert "".join(argv.split()) in "".join(program.text.split())  # a blank at a line's end is not on the screen


async def test_a_launch_takes_what_stands_in_the_fields_whatever_the_form_was_told_of_it() -> None:
    app = FormApp("train")
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        row(app, "training.epochs").control.value = "3"
        await app.form.action_launch()
    assert app.results[0].specs[0].argv[-2:] == ("--set", "training.epochs=3")


async def test_the_command_shows_the_fields_of_now_and_not_those_of_a_late_message() -> None:
    app = FormApp("train")
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        field = row(app, "training.epochs").control
        field.value = ""
        field.value = "9"  # the recipe's own
        field.post_message(field.Changed(field, ""))
        await settle(pilot)
        assert text(app, SUMMARY) == "✓ ready: F5 launches"
        assert text(app, COMMAND) == "xray-engine train --config configs/dual.yaml --run runs/dual"
