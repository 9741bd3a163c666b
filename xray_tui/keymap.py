"""The table of all key commands. Bindings, key bar, help screen, command palette and keymap are derived from it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

from textual.binding import Binding

Place = Literal[
    "app", "dashboard", "list", "board", "gpus", "jobs", "reading", "log", "gpu", "form", "save", "question", "text",
    "folder",
]  # fmt: skip

PLACES: dict[Place, str] = {
    "dashboard": "Dashboard",
    "gpus": "GPUs",
    "board": "Leaderboard",
    "jobs": "Jobs",
    "list": "Moving",
    "reading": "Log of a job",
    "log": "Log and text",
    "gpu": "One GPU and its processes",
    "form": "Forms",
    "save": "Saving a form as a config",
    "question": "Questions",
    "text": "Text screens, such as this one",
    "folder": "Choice of the runs folder",
    "app": "Everywhere",
}
"""Headings of the help screen, in display order."""

TOGETHER: tuple[frozenset[Place], ...] = (
    *(frozenset[Place]({"app", "dashboard", "list", focused}) for focused in ("gpus", "board", "jobs")),
    frozenset({"app", "dashboard", "list", "log", "reading"}),
    frozenset({"text", "list", "log"}),
    frozenset({"gpu", "list"}),
    frozenset({"folder", "app"}),
    *(frozenset[Place]({alone}) for alone in ("form", "save", "question")),
)
"""Sets of places whose keys are active at the same time."""


@dataclass(frozen=True, slots=True)
class Command:
    """A command that the user runs with a key."""

    id: str
    """The id in the settings' `keymap`."""
    keys: str
    """Textual's key names, separated by commas."""
    action: str
    label: str
    """One word for the key bar."""
    meaning: str
    """One line for help screen and palette."""
    place: Place
    """The place where the keys are active."""
    shown: bool = False
    """Whether the key bar shows it."""


COMMANDS: tuple[Command, ...] = (
    Command("log.enlarge", "enter", "screen.enlarge", "enlarge", "Enlarge the log to the whole screen, or undo it",
            "reading", True),
    Command("log.search", "/", "screen.search", "search", "Search the log, downwards from the visible lines",
            "reading", True),
    Command("log.next", "n", "find(1)", "next", "To the next line that contains the search words",
            "reading", True),
    Command("log.previous", "N", "find(-1)", "previous", "To the previous such line", "reading"),
    Command("log.open", "o", "app.open_log", "pager", "Open the whole log in $PAGER, else less or more",
            "reading", True),
    Command("launch.train", "t", "app.launch('train')", "train", "Train a network from a recipe", "dashboard", True),
    Command("launch.evaluate", "e", "app.launch('evaluate')", "eval", "Evaluate the run under the cursor",
            "dashboard", True),
    Command("launch.blend", "b", "app.launch('blend')", "blend", "Blend the marked runs", "dashboard", True),
    Command("job.stop", "K", "app.stop_job", "stop", "Stop the selected job, after a confirmation", "dashboard", True),
    Command("job.resume", "R", "app.resume_job", "resume", "Resume the selected training from its last checkpoint",
            "dashboard"),
    Command("board.export", "x", "app.export", "export", "Write the board to LEADERBOARD.md", "dashboard", True),
    Command("board.filter", "/", "filter", "filter", "Show only runs whose name or file contains these words",
            "dashboard", True),
    Command("board.sort", "s,>", "sort(1)", "sort", "Sort by the next column", "dashboard", True),
    Command("board.sort_back", "<", "sort(-1)", "sort back", "Sort by the previous column", "dashboard"),
    Command("board.reverse", "S", "reverse", "reverse", "Reverse the order", "dashboard"),
    Command("detail.log", "l", "detail('log')", "log", "Show the log of the selected job", "dashboard", True),
    Command("detail.curve", "c", "detail('curve')", "curve", "Show loss and validation of the selected job",
            "dashboard", True),
    Command("board.problems", "p", "app.problems", "problems", "List unranked artifacts, each with its reason",
            "dashboard", True),
    Command("gpus.detail", "d", "gpu_detail", "detail", "Show more or less of each GPU", "dashboard", True),
    Command("board.rescan", "r", "app.rescan", "rescan", "Read the whole runs folder again", "dashboard"),
    Command("dashboard.clear", "escape", "clear", "clear",
            "Remove the filter, then the marks; in a log, the search, then its enlargement", "dashboard"),
    Command("gpus.open", "enter", "open", "processes", "Everything about the GPU under the cursor, and its processes",
            "gpus", True),
    Command("gpus.left", "left,h", "step(-1)", "left", "To the previous GPU", "gpus"),
    Command("gpus.right", "right", "step(1)", "right", "To the next GPU", "gpus"),
    Command("board.mark", "space", "mark", "mark", "Mark the run, for blending", "board", True),
    Command("board.open", "enter", "open", "open", "Everything about the run under the cursor", "board"),
    Command("job.hold", "H", "app.hold_job", "hold", "Hold the waiting job, or release it", "jobs", True),
    Command("job.up", "[", "app.move_job(-1)", "up", "Move the job up among your queued jobs", "jobs"),
    Command("job.down", "]", "app.move_job(1)", "down", "Move the job down among your queued jobs", "jobs"),
    Command("jobs.open", "enter", "open", "read", "Go to the log or the curve of the job", "jobs"),
    Command("move.down", "j,down", "move(1)", "down", "One row down", "list"),
    Command("move.up", "k,up", "move(-1)", "up", "One row up", "list"),
    Command("move.page_down", "pagedown,ctrl+d", "page(1)", "page down", "One page down", "list"),
    Command("move.page_up", "pageup,ctrl+u", "page(-1)", "page up", "One page up", "list"),
    Command("move.top", "g,home", "jump(0)", "top", "To the first row", "list"),
    Command("move.bottom", "G,end", "jump(-1)", "bottom", "To the last row; a log then follows its file", "list"),
    Command("log.left", "left,h", "scroll_left", "left", "Scroll to the left", "log"),
    Command("log.right", "right", "scroll_right", "right", "Scroll to the right", "log"),
    Command("gpu.stop", "K", "stop", "stop the job", "Stop the job of the process, after a confirmation",
            "gpu", True),
    Command("gpu.previous", "left,h", "step(-1)", "previous GPU", "The previous GPU", "gpu", True),
    Command("gpu.next", "right,l", "step(1)", "next GPU", "The next GPU", "gpu", True),
    Command("gpu.close", "escape,q,enter", "close", "close", "Back to the dashboard", "gpu", True),
    Command("form.launch", "enter", "launch", "launch", "Open a list or a section; launch from a text field", "form"),
    Command("form.launch_anywhere", "f5", "launch", "Launch", "Launch from any field", "form", True),
    Command("form.cancel", "escape", "cancel", "Cancel", "Close the form", "form", True),
    Command("form.save", "ctrl+s", "save", "Save as config", "Save the values as a config", "form", True),
    Command("form.next", "down", "app.focus_next", "next", "To the next field", "form"),
    Command("form.previous", "up", "app.focus_previous", "previous", "To the previous field", "form"),
    Command("save.save", "enter", "save", "save", "Save under the typed name", "save"),
    Command("save.cancel", "escape", "dismiss(None)", "cancel", "Do not save", "save"),
    Command("confirm.yes", "y", "answer(True)", "yes", "Yes", "question"),
    Command("confirm.no", "n,escape,enter,q", "answer(False)", "no", "No", "question"),
    Command("text.close", "escape,q,enter", "close", "close", "Close the text", "text"),
    Command("folder.quit", "escape", "leave", "quit", "Quit without a runs folder", "folder"),
    Command("app.next", "tab", "app.focus_next", "next", "To the next panel", "app"),
    Command("app.previous", "shift+tab", "app.focus_previous", "previous", "To the previous panel", "app"),
    Command("app.palette", "ctrl+p,:", "app.command_palette", "palette", "Find a command by its name", "app"),
    Command("app.help", "?,f1", "app.help", "help", "This list", "app", True),
    Command("app.suspend", "ctrl+z", "app.suspend", "suspend", "To the shell; `fg` brings the app back", "app"),
    Command("app.quit", "q", "app.quit", "quit", "Quit; launched jobs continue", "app", True),
)  # fmt: skip


def bindings(*places: Place) -> list[Binding]:
    """Textual bindings for the commands of these places."""
    return [
        Binding(command.keys, command.action, command.label, show=command.shown, tooltip=command.meaning, id=command.id)
        for command in COMMANDS
        if command.place in places
    ]


def keymap_problems(keymap: Mapping[str, str]) -> Iterator[str]:
    """A message for each unknown id, invalid key and key with two commands, all of which Textual silently ignores."""
    for name, keys in keymap.items():
        yield from _entry_problems(name, keys)
    if keymap:
        yield from _clashes(usable_keymap(keymap))


def usable_keymap(keymap: Mapping[str, str]) -> dict[str, str]:
    """The keymap without entries that have an unknown id or an invalid key."""
    return {name: keys for name, keys in keymap.items() if not any(_entry_problems(name, keys))}


def _entry_problems(name: str, keys: str) -> Iterator[str]:
    from difflib import get_close_matches

    from engine.contract.text import clean

    ids = [command.id for command in COMMANDS]
    if name not in ids:
        close = get_close_matches(name, ids, n=1)
        hint = f"did you mean {close[0]}?" if close else "the help screen lists the ids"
        yield f"keymap: {clean(name)}: unknown command; {hint}"
    for key in keys.split(","):
        if not _is_key(key.strip()):
            yield f"keymap: {clean(name)}: {clean(key.strip()) or 'empty'!r} is not a key; expected one like K or f2"


def _clashes(keymap: Mapping[str, str]) -> Iterator[str]:
    keys = {command.id: _keys_of(keymap.get(command.id, command.keys)) for command in COMMANDS}
    default_keys = {command.id: _keys_of(command.keys) for command in COMMANDS}
    for first, second in combinations(COMMANDS, 2):
        if any({first.place, second.place} <= places for places in TOGETHER):
            moved, other = (first, second) if first.id in keymap else (second, first)
            shared = default_keys[first.id] & default_keys[second.id]  # the focused widget goes first: `/` in a log
            for key in sorted((keys[first.id] & keys[second.id]) - shared):
                yield f"keymap: {moved.id}: {shown_keys(key)} is also the key of {other.id}; choose another key"


def _keys_of(keys: str) -> frozenset[str]:
    """The keys by Textual's full names, such as `slash` for `/`."""
    return frozenset(binding.key for binding in Binding.make_bindings([Binding(keys, "")]))


def shown_keys(keys: str) -> str:
    """The keys as displayed: `ctrl+p  :`."""
    from textual.keys import format_key

    shown = []
    for key in keys.split(","):
        *modifiers, name = key.strip().split("+") if len(key.strip()) > 1 else [key.strip()]
        shown.append("+".join([*modifiers, format_key(name)]))
    return "  ".join(shown)


def _is_key(key: str) -> bool:
    from textual.keys import REPLACED_KEYS, Keys, key_to_character

    *modifiers, name = key.split("+") if len(key) > 1 else [key]
    if not set(modifiers) <= {"ctrl", "shift", "alt", "super", "meta", "hyper"}:
        return False
    if len(name) == 1:
        return name.isprintable() and not name.isspace()
    return name in {item.value for item in Keys} or key_to_character(REPLACED_KEYS.get(name, name)) is not None
