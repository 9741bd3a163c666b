"""The table of all key commands. Bindings, key bar, help screen, command palette and keymap are derived from it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

from textual.binding import Binding

Place = Literal[
    "app", "dashboard", "list", "board", "gpus", "jobs", "reading", "curve", "log", "gpu", "form", "save", "question",
    "text", "away", "run", "images", "compare", "folder",
]  # fmt: skip

PLACES: dict[Place, str] = {
    "app": "Everywhere",
    "dashboard": "Dashboard",
    "list": "Every list",
    "board": "Leaderboard",
    "jobs": "Jobs",
    "gpus": "GPUs",
    "reading": "Log of a job",
    "curve": "Curve of a job",
    "log": "Log and text",
    "gpu": "One GPU, and the processes of all GPUs",
    "form": "Forms",
    "save": "Saving a form as a config",
    "question": "Questions",
    "text": "Text screens, such as this one",
    "run": "One run",
    "away": "While you were away",
    "images": "Test images",
    "compare": "Comparison of runs",
    "folder": "Choice of the runs folder",
}
"""Headings of the help screen, in display order."""

TOGETHER: tuple[frozenset[Place], ...] = (
    *(frozenset[Place]({"app", "dashboard", "list", focused}) for focused in ("gpus", "board", "jobs")),
    frozenset({"app", "dashboard", "list", "log", "reading"}),
    frozenset({"app", "dashboard", "curve"}),
    frozenset({"text", "list", "log"}),
    frozenset({"text", "list", "away"}),
    frozenset({"text", "list", "log", "run"}),
    frozenset({"text", "curve", "run"}),
    frozenset({"images", "list"}),
    frozenset({"compare", "list"}),
    frozenset({"gpu", "list"}),
    frozenset({"folder", "app"}),
    *(frozenset[Place]({alone}) for alone in ("form", "save", "question")),
)
"""Sets of places whose keys are active at the same time."""


@dataclass(frozen=True, slots=True)
class Command:
    """A command that the user runs with a key."""

    id: str
    """The id used in the settings' `keymap`."""
    keys: str
    """Textual's key names, separated by commas."""
    action: str
    meaning: str
    """One line for the help screen and the command palette."""
    place: Place
    """The place where the keys are active."""
    label: str = ""
    """The word shown in the key bar; if it is empty, the key bar does not show the command."""


COMMANDS: tuple[Command, ...] = (
    Command("log.enlarge", "enter", "screen.enlarge", "Enlarge the log, or undo it", "reading", "enlarge"),
    Command("log.search", "/", "screen.search", "Search the log, down from the visible lines", "reading", "search"),
    Command("log.next", "n", "find(1)", "To the next line that contains the search words", "reading", "next"),
    Command("log.previous", "N", "find(-1)", "To the previous such line", "reading"),
    Command("log.open", "o", "app.open_log", "Open the whole log in $PAGER, else less or more", "reading", "pager"),
    Command("log.times", "T", "times", "Show the time of each line, or hide it", "reading", "times"),
    Command("curve.enlarge", "enter", "screen.enlarge", "Enlarge the curve, or undo it", "curve", "enlarge"),
    Command("curve.axis", "X", "cycle('axis')", "Next x axis: epochs, steps, minutes", "curve", "x axis"),
    Command("curve.log_scale", "L", "cycle('scale')", "Logarithmic scale of the loss, or linear", "curve", "log y"),
    Command("curve.smooth", "W", "cycle('smoothing')", "Smooth the loss more, or not at all", "curve", "smooth"),
    Command("curve.open", "o", "app.open_log", "Open the log in $PAGER, else less or more", "curve"),
    Command("curve.next", "z", "cycle('run')", "Next of the marked runs in focus", "curve", "next run"),
    Command("board.open", "enter", "open", "Everything about the run under the cursor", "board", "open"),
    Command("board.mark", "space", "mark", "Mark the run, for blending", "board", "mark"),
    Command("board.sort", "s,>", "screen.sort(1)", "Sort by the next column", "board", "sort"),
    Command("board.sort_back", "<", "screen.sort(-1)", "Sort by the previous column", "board"),
    Command("board.reverse", "S", "screen.reverse", "Reverse the order", "board"),
    Command("board.log", "l", "app.read_run('log')", "Log of the run under the cursor", "board", "log"),
    Command("board.curve", "c", "app.read_run('curve')", "Curve of the run, and of the marked runs", "board", "curve"),
    Command("board.images", "i", "app.images", "Test images of the run, or of two marked runs", "board", "images"),
    Command("board.compare", "m", "app.compare", "Compare the marked runs with the best of them", "board", "compare"),
    Command("board.job", "J", "screen.job_of_run", "To the newest job of the run", "board"),
    Command("board.copy", "y", "app.copy_path", "Copy the path of the run's folder", "board"),
    Command("board.config", "o", "app.open_config", "Open the config in $EDITOR, else in $PAGER", "board"),
    Command("jobs.open", "enter", "open", "Go to the log or the curve of the job", "jobs", "log"),
    Command("job.stop", "K", "app.stop_job", "Stop the job, after a confirmation", "jobs", "stop"),
    Command("job.resume", "R", "app.resume_job", "Resume the training from its last checkpoint", "jobs", "resume"),
    Command("job.hold", "H", "app.hold_job", "Hold the waiting job, or release it", "jobs", "hold"),
    Command("job.up", "[,shift+up", "app.move_job(-1)", "Move the job up among your queued jobs", "jobs"),
    Command("job.down", "],shift+down", "app.move_job(1)", "Move the job down among your queued jobs", "jobs"),
    Command("jobs.run", "J", "app.job_run", "Go to the run of the job on the board", "jobs", "run"),
    Command("gpus.open", "enter", "open", "The GPU under the cursor, and all processes", "gpus", "processes"),
    Command("gpus.left", "left,h", "step(-1)", "To the previous GPU", "gpus"),
    Command("gpus.right", "right", "step(1)", "To the next GPU", "gpus"),
    Command("move.down", "j,down", "move(1)", "One row down", "list"),
    Command("move.up", "k,up", "move(-1)", "One row up", "list"),
    Command("move.page_down", "pagedown,ctrl+d", "page(1)", "One page down", "list"),
    Command("move.page_up", "pageup,ctrl+u", "page(-1)", "One page up", "list"),
    Command("move.top", "g,home", "jump(0)", "To the first row", "list"),
    Command("move.bottom", "G,end", "jump(-1)", "To the last row; a log then follows its file", "list"),
    Command("launch.train", "t", "app.launch('train')", "Train a network from a recipe", "dashboard", "train"),
    Command("launch.evaluate", "e", "app.launch('evaluate')", "Evaluate the run under the cursor", "dashboard", "eval"),
    Command("launch.blend", "b", "app.launch('blend')", "Blend the marked runs", "dashboard", "blend"),
    Command("board.export", "x", "app.export", "Write the board to LEADERBOARD.md", "dashboard", "export"),
    Command("board.problems", "p", "app.problems", "List unranked artifacts with reasons", "dashboard", "problems"),
    Command("board.filter", "/", "filter", "Show only runs whose name or file has these words", "dashboard", "filter"),
    Command("detail.log", "l", "detail('log')", "Show the log of the selected job", "dashboard", "log"),
    Command("detail.curve", "c", "detail('curve')", "Show loss and validation of the job", "dashboard", "curve"),
    Command("gpus.detail", "d", "gpu_detail", "Show more or less of each GPU", "dashboard", "detail"),
    Command("dashboard.away", "w", "app.away", "What happened while you were away", "dashboard"),
    Command("board.rescan", "r", "app.rescan", "Rescan the whole runs folder", "dashboard"),
    Command("dashboard.clear", "escape", "clear", "Undo one step: search, enlargement, filter, marks", "dashboard"),
    Command("panel.gpus", "1", "panel('gpus')", "To the GPUs", "dashboard"),
    Command("panel.board", "2", "panel('board')", "To the leaderboard", "dashboard"),
    Command("panel.jobs", "3", "panel('jobs')", "To the jobs", "dashboard"),
    Command("panel.log", "4", "panel('log')", "To the log or the curve", "dashboard"),
    Command("log.left", "left,h", "scroll_left", "Scroll to the left", "log"),
    Command("log.right", "right", "scroll_right", "Scroll to the right", "log"),
    Command("gpu.stop", "K", "stop", "Stop the job of the process, after a confirmation", "gpu", "stop the job"),
    Command("gpu.previous", "left,h", "step(-1)", "The previous GPU", "gpu", "previous GPU"),
    Command("gpu.next", "right,l", "step(1)", "The next GPU", "gpu", "next GPU"),
    Command("gpu.close", "escape,q,enter", "dismiss(None)", "Back to the dashboard", "gpu", "close"),
    Command("form.launch", "f5,ctrl+g", "launch", "Launch; Enter does it on the line Launch", "form", "launch"),
    Command("form.save", "ctrl+s,f2", "save", "Save the values as a config", "form", "save as config"),
    Command("form.reset", "ctrl+r", "reset", "Back to the values of the recipe or run", "form", "reset"),
    Command("form.help", "f1,ctrl+o", "field_help", "What the field means, with an example", "form", "field help"),
    Command("form.leave", "escape", "leave", "Leave the form, and keep the values as a draft", "form", "leave"),
    Command("form.next", "down,enter", "app.focus_next", "To the next field; Enter on a list opens it", "form"),
    Command("form.previous", "up", "app.focus_previous", "To the previous field", "form"),
    Command("save.save", "enter", "save", "Save under the typed name", "save", "Save"),
    Command("save.cancel", "escape", "dismiss(None)", "Do not save", "save", "Cancel"),
    Command("confirm.yes", "y", "dismiss(True)", "Yes", "question"),
    Command("confirm.no", "n,escape,enter,q", "dismiss(False)", "No", "question"),
    Command("text.close", "escape,q,enter", "dismiss(None)", "Close the text", "text"),
    Command("run.train", "t", "app.launch('train')", "Train a network with the config of the run", "run", "train"),
    Command("run.evaluate", "e", "app.launch('evaluate')", "Evaluate the run", "run", "eval"),
    Command("run.blend", "b", "app.launch('blend')", "Blend the marked runs", "run", "blend"),
    Command("run.log", "l", "screen.log", "Go to the log of the newest job of the run", "run", "log"),
    Command("run.curve", "c", "screen.curve", "Show the curve alone, or the text again", "run", "curve"),
    Command("away.open", "enter", "screen.open", "Open the log of the job", "away"),
    Command("run.images", "i", "app.images", "Test images of the run", "run"),
    Command("run.cases", "C", "app.cases", "Write a web page with the worst test images of the run", "run"),
    Command("run.copy", "y", "app.copy_path", "Copy the path of the run's folder", "run"),
    Command("run.config", "o", "app.open_config", "Open the config in $EDITOR, else in $PAGER", "run"),
    Command("images.next", "n", "step(1)", "To the next image", "images", "next"),
    Command("images.previous", "N", "step(-1)", "To the previous image", "images"),
    Command("images.lower", "<", "threshold(-1)", "Lower the threshold", "images"),
    Command("images.higher", ">", "threshold(1)", "Raise the threshold", "images", "threshold"),
    Command("images.zoom", "+,=", "zoom(True)", "Zoom to the lesion", "images", "zoom"),
    Command("images.whole", "-", "zoom(False)", "Show the whole image", "images"),
    Command("images.worst", "w", "choose('worst')", "Fractures, the lowest Dice first", "images", "worst"),
    Command("images.missed", "M", "choose('missed')", "Only missed fractures", "images", "missed"),
    Command("images.false", "F", "choose('false')", "Only false positives, the largest first", "images", "false"),
    Command("images.name", "s", "choose('name')", "All images, by name", "images", "name"),
    Command("images.filter", "/", "filter", "Show only images with these words in their name", "images", "filter"),
    Command("images.evaluate", "e", "app.evaluate_run", "Evaluate the run, which makes its maps", "images"),
    Command("images.close", "escape,q", "close", "Close the filter, or the screen", "images", "close"),
    Command("compare.open", "enter", "open", "Show the image under the cursor in both runs", "compare", "image"),
    Command("compare.close", "escape,q", "dismiss(None)", "Back to the board", "compare", "close"),
    Command("folder.quit", "escape", "dismiss(None)", "Quit without a runs folder", "folder"),
    Command("app.next", "tab", "app.focus_next", "To the next panel", "app"),
    Command("app.previous", "shift+tab", "app.focus_previous", "To the previous panel", "app"),
    Command("app.palette", ":,ctrl+p", "app.command_palette", "Find a command by its name", "app"),
    Command("app.help", "?,f1", "app.help", "This list", "app", "help"),
    Command("app.suspend", "ctrl+z", "app.suspend", "To the shell; `fg` brings the app back", "app"),
    Command("app.quit", "q,ctrl+q", "app.quit", "Quit; launched jobs continue", "app", "quit"),
)  # fmt: skip
"""All commands. The key bar and the help keep this order, so the keys of the focused panel come first."""


def bindings(*places: Place) -> list[Binding]:
    """Textual bindings for the commands of these places."""
    return [
        Binding(command.keys, command.action, command.label, tooltip=command.meaning, id=command.id)
        for command in COMMANDS
        if command.place in places
    ]


def where_it_works(key: str, keymap: Mapping[str, str]) -> str | None:
    """A sentence about the panel of the dashboard where this key works; None if there is no such panel."""
    for command in COMMANDS:
        keys = keymap.get(command.id, command.keys)
        if command.place in ("board", "jobs", "gpus", "reading", "curve") and key in _key_names(keys):
            return f"{shown_keys(key)} works in the panel {PLACES[command.place]}: {command.meaning}"
    return None


def keymap_problems(keymap: Mapping[str, str]) -> Iterator[str]:
    """Yield a message for each unknown id, invalid key and key with two commands; Textual silently ignores these."""
    for name, keys in keymap.items():
        yield from _entry_problems(name, keys)
    yield from _without_clashes(keymap)[1]


def usable_keymap(keymap: Mapping[str, str]) -> dict[str, str]:
    """The keymap without entries that have an unknown id, an invalid key, or the key of another command."""
    return _without_clashes(keymap)[0]


def _without_clashes(keymap: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """The usable entries, and a message for each that clashes with another command and so keeps its default keys."""
    usable = {name: keys for name, keys in keymap.items() if not any(_entry_problems(name, keys))}
    problems: list[str] = []
    while usable and (clashes := list(_clashes(usable))):  # the default keys of a dropped entry may clash again
        for name, problem in clashes:
            usable.pop(name, None)
            problems.append(problem)
    return usable, problems


def _entry_problems(name: str, keys: str) -> Iterator[str]:
    from difflib import get_close_matches

    from engine.contract.text import clean

    ids = [command.id for command in COMMANDS]
    if name not in ids:
        close = get_close_matches(name, ids, n=1)
        hint = f"did you mean {close[0]}?" if close else "the help screen lists the ids"
        yield f"keymap: {clean(name)}: unknown command; {hint}"
    for key in map(str.strip, keys.split(",")):
        if not _is_key(key):
            yield f"keymap: {clean(name)}: {clean(key) or 'empty'!r} is not a key; expected one like K or f2"


def _is_key(key: str) -> bool:
    from textual.keys import REPLACED_KEYS, Keys, key_to_character

    *modifiers, name = key.split("+") if len(key) > 1 else [key]
    if not set(modifiers) <= {"ctrl", "shift", "alt", "super", "meta", "hyper"}:
        return False
    if len(name) == 1:
        return name.isprintable() and not name.isspace()
    return name in set(Keys) or key_to_character(REPLACED_KEYS.get(name, name)) is not None


def _clashes(keymap: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield the id of each entry that clashes with another command, and a message."""
    keys = {command.id: {*_key_names(keymap.get(command.id, command.keys))} for command in COMMANDS}
    for first, second in combinations(COMMANDS, 2):
        if any({first.place, second.place} <= places for places in TOGETHER):
            moved, other = (first, second) if first.id in keymap else (second, first)
            # The focused widget handles a key first, so commands may share one by default, such as `/` in a log.
            shared = {*_key_names(first.keys)} & {*_key_names(second.keys)}
            for key in sorted((keys[first.id] & keys[second.id]) - shared):
                problem = f"{shown_keys(key)} is also the key of {other.id}; the default is kept; choose another key"
                yield moved.id, f"keymap: {moved.id}: {problem}"


def _key_names(keys: str) -> list[str]:
    """Textual's full names of the keys, such as `slash` for `/`."""
    return [binding.key for binding in Binding.make_bindings([Binding(keys, "")])]


def shown_keys(keys: str) -> str:
    """The keys as displayed: `ctrl+p  :`."""
    from textual.keys import format_key

    parts = [key.rpartition("+") for key in _key_names(keys)]
    return "  ".join(f"{modifiers}{plus}{format_key(name)}" for modifiers, plus, name in parts)
