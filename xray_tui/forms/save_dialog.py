"""Dialog that saves the values of a form as a config; overwrites a file only after a second Enter."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.screen import ModalScreen
from textual.widgets import Footer, Input, Static
from textual.worker import get_current_worker

from engine.contract.text import clean
from xray_tui.forms.controls import TextField


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

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "save", "Save", key_display="enter", id="save.save"),
        Binding("escape", "dismiss(None)", "Cancel", id="save.cancel"),
    ]

    @dataclass
    class Answered(Message):
        """The result of an attempt; `problem` is None if the file was written."""

        path: Path
        problem: str | None
        exists: bool = False

    def __init__(self, proposed: str, write: Callable[[Path], None]) -> None:
        super().__init__()
        self._proposed = proposed
        self._write = write
        self._confirmed: Path | None = None

    def compose(self) -> ComposeResult:
        with Vertical(id="save-box"):
            yield Static(Content("Save these values as a config"), id="save-title")
            yield TextField(self._proposed)
            yield Static(id="save-note")
        yield Footer(show_command_palette=False)

    def action_save(self) -> None:
        """Write the file; if it exists, ask for a second Enter first."""
        path = config_path(self.query_one(TextField).value)
        if path is None:
            self._say("no file name; expected a file such as configs/mine.yaml", wrong=True)
        else:
            self._try(path, overwrite=path == self._confirmed)

    @on(Input.Changed)
    def _edited(self) -> None:
        self._confirmed = None
        self._say("")

    @on(Answered)
    def _answered(self, event: Answered) -> None:
        if event.problem is None:
            self.dismiss(event.path)
            return
        self._confirmed = event.path if event.exists else None
        self._say(event.problem, wrong=True)

    @work(thread=True, exclusive=True, exit_on_error=False, group="save")
    def _try(self, path: Path, overwrite: bool) -> None:
        worker = get_current_worker()
        answer = self.Answered(path, None)
        try:
            if path.exists() and not overwrite:
                answer = self.Answered(path, f"{path} exists; press enter again to overwrite it", exists=True)
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                self._write(path)
        except OSError as error:
            answer = self.Answered(path, f"{path}: {error.strerror or error}; choose another place")
        if not worker.is_cancelled:
            self.post_message(answer)

    def _say(self, line: str, *, wrong: bool = False) -> None:
        note = self.query_one("#save-note", Static)
        note.update(Content(clean(line)))
        note.set_class(wrong, "-wrong")
