"""The first screen if no runs folder is known; it asks for one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Input, Static

from engine.contract.text import clean
from xray_tui.keymap import bindings
from xray_tui.widgets.clean_input import CleanInput
from xray_tui.widgets.message_line import MessageLine


class RunsFolderScreen(Screen[Path | None]):
    """Dismisses with an existing folder, with one created after a second Enter, or with None after Escape."""

    CSS_PATH = "../styles/dialogs.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("folder")]

    def __init__(self, suggestion: Path) -> None:
        super().__init__()
        self._suggestion = suggestion
        self._would_make: Path | None = None

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            yield Static(Content.styled("Where are the runs?", "bold"))
            yield Static(
                Content(
                    "The runs folder has one folder per run, each with its test_metrics.json. "
                    "To skip this question, set `runs_dir` in the settings or start `xray-tui FOLDER`."
                ),
                classes="more",
            )
            yield CleanInput(str(self._suggestion), id="folder", select_on_focus=False)
            yield Static(id="message", classes="answers", markup=False)
        yield MessageLine()

    def on_mount(self) -> None:
        self._say("Enter opens the folder, Escape quits.")
        self.query_one("#folder", Input).focus()

    def _say(self, line: str) -> None:
        self.query_one("#message", Static).update(Content(line))

    def on_input_changed(self) -> None:
        self._would_make = None

    def on_input_submitted(self, event: Input.Submitted) -> None:
        untouched = event.value == clean(str(self._suggestion))  # its shown name may differ from its real one
        try:
            path = self._suggestion if untouched else Path(event.value.strip()).expanduser()
        except RuntimeError:
            self._say(f"{clean(event.value.strip())}: there is no such user; expected a path without ~.")
            return
        # Path's methods raise if a name is too long or a folder is not accessible; these functions return False.
        if os.path.isdir(path):  # noqa: PTH112
            self.dismiss(path)
        elif os.path.exists(path):  # noqa: PTH110
            self._say(f"{clean(str(path))} is a file; expected the folder that holds the runs.")
        elif self._would_make == path:
            try:
                path.mkdir(parents=True)
            except OSError as error:
                self._say(f"{clean(str(path))}: {error.strerror or error}")
            else:
                self.dismiss(path)
        else:
            self._would_make = path
            self._say(f"{clean(str(path))} does not exist. Press Enter again to create it.")
