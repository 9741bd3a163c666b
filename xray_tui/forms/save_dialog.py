"""A dialog that saves the values of a form as a config, and overwrites a file only after a second Enter."""

from __future__ import annotations

from asyncio import to_thread
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Footer, Input, Static

from engine.contract.text import clean
from xray_tui.forms.controls import TextField
from xray_tui.keymap import bindings


def config_path(text: str) -> Path | None:
    """The typed file name, with .yaml added if it has no YAML suffix; None if it is not a file name."""
    try:
        path = Path(text.strip()).expanduser()
        if text.strip().endswith("/"):
            return None
        return path if path.suffix in (".yaml", ".yml") else path.with_name(f"{path.name}.yaml")
    except (ValueError, RuntimeError):  # an empty name; the home folder of an unknown user
        return None


class SaveScreen(ModalScreen[Path | None]):
    """Asks for a file name and calls `write` with it in a thread. Dismisses with the written path, or None."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings("save")]

    def __init__(self, proposed: str, write: Callable[[Path], None]) -> None:
        super().__init__()
        self._proposed = proposed
        self._write = write
        self._confirmed: Path | None = None
        """The existing file that another Enter overwrites."""

    def compose(self) -> ComposeResult:
        with Vertical(id="save-box"):
            yield Static(Content("Save these values as a config"), id="save-title")
            yield TextField(self._proposed)
            yield Static(id="save-note")
        yield Footer(show_command_palette=False)

    @on(Input.Changed)
    def _edited(self) -> None:
        self._confirmed = None
        self._say("")

    @work(exclusive=True, group="save")
    async def action_save(self) -> None:
        """Write the file; if it exists, ask for a second Enter first."""
        path = config_path(self.query_one(TextField).value)
        if path is None:
            self._say("no file name; expected a file such as configs/mine.yaml")
            return
        written, problem = False, f"{path} exists; press enter again to overwrite it"
        try:
            written = await to_thread(self._written, path, path == self._confirmed)
            self._confirmed = path
        except OSError as error:
            problem = f"{path}: {error.strerror or error}; choose another place"
        if not self.is_current:  # closed while the file was being written
            return
        if written:
            self.dismiss(path)
        else:
            self._say(problem)

    def _written(self, path: Path, overwrite: bool) -> bool:
        """Write the file and return True; return False if it exists and `overwrite` is not set."""
        if path.exists() and not overwrite:
            return False
        path.parent.mkdir(parents=True, exist_ok=True)
        self._write(path)
        return True

    def _say(self, problem: str) -> None:
        self.query_one("#save-note", Static).update(Content(clean(problem)))
