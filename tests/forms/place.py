"""A working directory with recipes and runs, and an app that does nothing but show one form."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from textual.pilot import Pilot

from engine.contract.recipes import Recipe, find_recipes
from xray_tui.app.key_queue import KeysInOrder
from xray_tui.app.themes import variable_defaults
from xray_tui.forms.context import FormContext
from xray_tui.forms.row import FormRow
from xray_tui.forms.screen import LaunchScreen

RUNS = Path("runs")
PLAIN = {
    "kind": "train",
    "description": "Plain U-Net",
    "data": {"manifest": "../data/manifest.csv", "image_size": 128},
    "training": {"epochs": 5, "lr": 1e-5},
}
DUAL = {
    "kind": "train",
    "description": "U-Net with a second head",
    "seed": 7,
    "model": {"classification_head": {"hidden": 64}},
    "training": {"epochs": 9},
}


def make_place(folder: Path) -> None:
    """Two recipes, a run of each with a checkpoint, one run without, and a manifest."""
    for name, values in (("plain", PLAIN), ("dual", DUAL)):
        write(folder / "configs" / f"{name}.yaml", values)
        run = folder / "runs" / f"{name}_a"
        write(run / "config.yaml", values | {"name": f"{name}_a"})
        (run / "checkpoints").mkdir()
        (run / "checkpoints" / "best.pt").write_bytes(b"weights")
    write(folder / "runs" / "unfinished" / "config.yaml", PLAIN)
    (folder / "data").mkdir()
    (folder / "data" / "manifest.csv").write_text("id,image,mask,fractured,split\n")


def write(path: Path, values: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(values, sort_keys=False))


def recipes() -> list[Recipe]:
    """Those of the working directory alone, not the project's own."""
    return find_recipes([Path("configs")])


class FormApp(KeysInOrder):
    """Shows the form at once; `results` holds what it was dismissed with."""

    def __init__(self, kind: Any, **given: Any) -> None:
        super().__init__()
        preflight = given.pop("preflight", None)
        self.form = LaunchScreen(FormContext(kind, **({"runs": RUNS, "recipes": recipes()} | given)), preflight)
        self.results: list[Any] = []

    def get_theme_variable_defaults(self) -> dict[str, str]:
        return variable_defaults(self.current_theme)

    def on_mount(self) -> None:
        self.push_screen(self.form, self.left)

    def left(self, result: Any) -> None:
        """The form was left with that."""
        self.results.append(result)


async def settle(pilot: Pilot[Any]) -> None:
    """Until everything that a key, a pause or a thread has set off is done."""
    await pilot.pause()
    while getattr(getattr(pilot.app, "form", None), "_check_later", None) is not None and pilot.app.form.is_current:
        await pilot.pause(0.01)
    await pilot.app.workers.wait_for_complete()
    await pilot.pause()
    await pilot.app.workers.wait_for_complete()
    await pilot.pause()


def row(app: FormApp, key: str) -> FormRow:
    """The row of that key."""
    return next(row for row in app.form.query(FormRow) if row.key == key)


def offered(app: FormApp, key: str) -> list[str]:
    """The options of that row's choice, as they read."""
    return [str(prompt) for prompt, _ in row(app, key).control._options]


def focus(app: FormApp, key: str) -> None:
    row(app, key).control.focus()


def text(app: FormApp, selector: str) -> str:
    """What a line of the form says."""
    return str(app.form.query_one(selector).render())


async def type_over(pilot: Pilot[Any], app: FormApp, key: str, value: str) -> None:
    """Focus a text field, which selects its text, and type."""
    focus(app, key)
    await pilot.pause()
    await pilot.press("ctrl+u", *value)
    await settle(pilot)
