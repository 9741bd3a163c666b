"""The one table of what keys do: bindings, key bar, help screen, command palette and keymap are all made from it."""

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
    "save": "Where a form's values are saved",
    "question": "Questions",
    "text": "Texts, as this one",
    "folder": "Choice of the runs folder",
    "app": "Everywhere",
}
"""Headings of the help screen, in its order."""

TOGETHER: tuple[frozenset[Place], ...] = (
    *(frozenset[Place]({"app", "dashboard", "list", focused}) for focused in ("gpus", "board", "jobs")),
    frozenset({"app", "dashboard", "list", "log", "reading"}),
    frozenset({"text", "list", "log"}),
    frozenset({"gpu", "list"}),
    frozenset({"folder", "app"}),
    *(frozenset[Place]({alone}) for alone in ("form", "save", "question")),
)
"""Places whose keys work at the same time."""


@dataclass(frozen=True, slots=True)
class Command:
    """Something the user can do with a key."""

    id: str
    """By which the settings' keymap names it."""
    keys: str
    """Textual's names, with commas between."""
    action: str
    label: str
    """One word for the key bar."""
    meaning: str
    """One line for help and palette."""
    place: Place
    """Where the keys are bound."""
    shown: bool = False
    """Whether the key bar shows it."""


COMMANDS: tuple[Command, ...] = (
    Command("log.enlarge", "enter", "screen.enlarge", "enlarge", "Give the log the whole screen, or its place again",
            "reading", True),
    Command("log.search", "/", "screen.search", "search", "Search the log, from the lines in view downwards",
            "reading", True),
    Command("log.next", "n", "find(1)", "next", "To the next line with the words that are searched for",
            "reading", True),
    Command("log.previous", "N", "find(-1)", "previous", "To the line before with these words", "reading"),
    Command("log.open", "o", "app.open_log", "pager", "Open the whole log in $PAGER, else less or more",
            "reading", True),
    Command("launch.train", "t", "app.launch('train')", "train", "Train a network from a recipe", "dashboard", True),
    Command("launch.evaluate", "e", "app.launch('evaluate')", "eval", "Evaluate the run under the cursor",
            "dashboard", True),
    Command("launch.blend", "b", "app.launch('blend')", "blend", "Blend the marked runs", "dashboard", True),
    Command("job.stop", "K", "app.stop_job", "stop", "Stop the selected job, after a question", "dashboard", True),
    Command("job.resume", "R", "app.resume_job", "resume", "Go on with the selected training from its last checkpoint",
            "dashboard"),
    Command("board.export", "x", "app.export", "export", "Write the board to LEADERBOARD.md", "dashboard", True),
    Command("board.filter", "/", "filter", "filter", "Show only runs whose name or file holds these words",
            "dashboard", True),
    Command("board.sort", "s,>", "sort(1)", "sort", "Sort by the next column", "dashboard", True),
    Command("board.sort_back", "<", "sort(-1)", "sort back", "Sort by the previous column", "dashboard"),
    Command("board.reverse", "S", "reverse", "reverse", "Reverse the order", "dashboard"),
    Command("detail.log", "l", "detail('log')", "log", "Show the log of the selected job", "dashboard", True),
    Command("detail.curve", "c", "detail('curve')", "curve", "Show loss and validation of the selected job",
            "dashboard", True),
    Command("board.problems", "p", "app.problems", "problems", "Artifacts that do not rank, each with its reason",
            "dashboard", True),
    Command("gpus.detail", "d", "gpu_detail", "detail", "Show more of each GPU, or less", "dashboard", True),
    Command("board.rescan", "r", "app.rescan", "rescan", "Read the whole runs folder again", "dashboard"),
    Command("dashboard.clear", "escape", "clear", "clear",
            "Drop the filter, then the marks; in a log the search, then its size", "dashboard"),
    Command("gpus.open", "enter", "open", "processes", "Everything about the GPU under the cursor, and its processes",
            "gpus", True),
    Command("gpus.left", "left,h", "step(-1)", "left", "To the GPU before", "gpus"),
    Command("gpus.right", "right", "step(1)", "right", "To the next GPU", "gpus"),
    Command("board.mark", "space", "mark", "mark", "Mark the run, for blending", "board", True),
    Command("board.open", "enter", "open", "open", "Everything about the run under the cursor", "board"),
    Command("job.hold", "H", "app.hold_job", "hold", "Hold the waiting job, or let it go on", "jobs", True),
    Command("job.up", "[", "app.move_job(-1)", "up", "Before the next of your jobs in the queue", "jobs"),
    Command("job.down", "]", "app.move_job(1)", "down", "Behind the next of your jobs in the queue", "jobs"),
    Command("jobs.open", "enter", "open", "read", "Go to the log or the curve of the job", "jobs"),
    Command("move.down", "j,down", "move(1)", "down", "One row down", "list"),
    Command("move.up", "k,up", "move(-1)", "up", "One row up", "list"),
    Command("move.page_down", "pagedown,ctrl+d", "page(1)", "page down", "One page down", "list"),
    Command("move.page_up", "pageup,ctrl+u", "page(-1)", "page up", "One page up", "list"),
    Command("move.top", "g,home", "jump(0)", "top", "To the first row", "list"),
    Command("move.bottom", "G,end", "jump(-1)", "bottom", "To the last row; a log then follows its file", "list"),
    Command("log.left", "left,h", "scroll_left", "left", "Scroll to the left", "log"),
    Command("log.right", "right", "scroll_right", "right", "Scroll to the right", "log"),
    Command("gpu.stop", "K", "stop", "stop the job", "Stop the job that the process works for, after a question",
            "gpu", True),
    Command("gpu.previous", "left,h", "step(-1)", "previous GPU", "The GPU before", "gpu", True),
    Command("gpu.next", "right,l", "step(1)", "next GPU", "The next GPU", "gpu", True),
    Command("gpu.close", "escape,q,enter", "close", "close", "Back to the dashboard", "gpu", True),
    Command("form.launch", "enter", "launch", "launch", "Open a list or a section; launch from a text field", "form"),
    Command("form.launch_anywhere", "f5", "launch", "launch", "Launch from any field", "form"),
    Command("form.cancel", "escape", "cancel", "cancel", "Leave the form", "form"),
    Command("form.save", "ctrl+s", "save", "save", "Save the values as a config", "form"),
    Command("form.next", "down", "app.focus_next", "next", "To the next field", "form"),
    Command("form.previous", "up", "app.focus_previous", "previous", "To the previous field", "form"),
    Command("save.save", "enter", "save", "save", "Save under the name that is typed", "save"),
    Command("save.cancel", "escape", "dismiss(None)", "cancel", "Do not save", "save"),
    Command("confirm.yes", "y", "answer(True)", "yes", "Yes", "question"),
    Command("confirm.no", "n,escape,enter,q", "answer(False)", "no", "No", "question"),
    Command("text.close", "escape,q,enter", "close", "close", "Close the text", "text"),
    Command("folder.quit", "escape", "leave", "quit", "Leave without a runs folder", "folder"),
    Command("app.next", "tab", "app.focus_next", "next", "To the next panel", "app"),
    Command("app.previous", "shift+tab", "app.focus_previous", "previous", "To the previous panel", "app"),
    Command("app.palette", "ctrl+p,:", "app.command_palette", "palette", "Find a command by its name", "app"),
    Command("app.help", "?,f1", "app.help", "help", "This list", "app", True),
    Command("app.suspend", "ctrl+z", "app.suspend", "suspend", "To the shell; `fg` brings the app back", "app"),
    Command("app.quit", "q", "app.quit", "quit", "Leave; launched jobs go on", "app", True),
)  # fmt: skip


def bindings(*places: Place) -> list[Binding]:
    """Textual's bindings of the commands that belong to these places."""
    return [
        Binding(command.keys, command.action, command.label, show=command.shown, tooltip=command.meaning, id=command.id)
        for command in COMMANDS
        if command.place in places
    ]


def keymap_problems(keymap: Mapping[str, str]) -> Iterator[str]:
    """A line for every id that there is not, every key that no terminal sends, and every key that would do two things:
    Textual passes over all three in silence."""
    for name, keys in keymap.items():
        yield from _flaws(name, keys)
    if keymap:
        yield from _clashes(usable_keymap(keymap))


def usable_keymap(keymap: Mapping[str, str]) -> dict[str, str]:
    """The keymap without ids that there are not and keys that are none."""
    return {name: keys for name, keys in keymap.items() if not any(_flaws(name, keys))}


def _flaws(name: str, keys: str) -> Iterator[str]:
    from difflib import get_close_matches

    from engine.contract.text import clean

    ids = [command.id for command in COMMANDS]
    if name not in ids:
        close = get_close_matches(name, ids, n=1)
        hint = f"did you mean {close[0]}?" if close else "the help screen lists the ids"
        yield f"keymap: {clean(name)}: there is no such command; {hint}"
    for key in keys.split(","):
        if not _is_key(key.strip()):
            yield f"keymap: {clean(name)}: {clean(key.strip()) or 'empty'!r} is no key; right are k, K, f2, ctrl+k"


def _clashes(keymap: Mapping[str, str]) -> Iterator[str]:
    keys = {command.id: _keys_of(keymap.get(command.id, command.keys)) for command in COMMANDS}
    meant = {command.id: _keys_of(command.keys) for command in COMMANDS}
    for first, second in combinations(COMMANDS, 2):
        if any({first.place, second.place} <= places for places in TOGETHER):
            moved, other = (first, second) if first.id in keymap else (second, first)
            both_meant = meant[first.id] & meant[second.id]  # what has the focus goes first: `/` in a log
            for key in sorted((keys[first.id] & keys[second.id]) - both_meant):
                yield f"keymap: {moved.id}: {shown_keys(key)} is the key of {other.id}, too; another key is right"


def _keys_of(keys: str) -> frozenset[str]:
    """The keys by Textual's full names: `/` is `slash`."""
    return frozenset(binding.key for binding in Binding.make_bindings([Binding(keys, "")]))


def shown_keys(keys: str) -> str:
    """The keys as a person reads them: `ctrl+p  :`."""
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
