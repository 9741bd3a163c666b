"""The compare screen: differences of runs to the first on the same test images, computed by `xray-engine compare`."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar, NamedTuple

from rich.cells import cell_len
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.content import Content
from textual.screen import Screen
from textual.strip import Strip

from engine.contract.metrics import metric
from engine.contract.text import clean
from xray_tui.feeds.engine_command import EngineCommand
from xray_tui.keymap import bindings
from xray_tui.screens.images import ImagesScreen, Source
from xray_tui.system.error_log import in_words
from xray_tui.widgets.format import fit
from xray_tui.widgets.key_bar import KeyBar
from xray_tui.widgets.list_view import ListView

LABEL = 22
"""Width of the column of metrics in cells."""
METHOD = (
    "Intervals: 95 %, paired bootstrap over images. ▲ ▼: better or worse than A, because the interval excludes 0. "
    "p: permutation test of Dice over images with a fracture, Holm-corrected."
)


class CompareLine(NamedTuple):
    """A line, safe to show; a line of an image has its id and the index of its run."""

    text: str
    style: str = ""
    image: str | None = None
    run: int = 0


def compare_lines(found: Mapping[str, Any], names: Sequence[str], width: int) -> list[CompareLine]:
    """The comparison in lines of at most `width` cells, with the runs as letters; `names` are safe to show."""
    letters = [chr(ord("A") + at) for at in range(len(names))]
    lines = [CompareLine(f"{found['images']} test images, {found['positives']} with a fracture.")]
    lines += [CompareLine(line, "faint") for line in textwrap.wrap(METHOD, width)]
    lines.append(CompareLine(""))
    for letter, name, run in zip(letters, names, found["runs"], strict=True):
        threshold = f"threshold {run.get('threshold', 0):.3g}, TTA {clean(str(run.get('tta_mode')))}"
        room = min(max(map(cell_len, names)), max(8, width - len(threshold) - 4))
        lines.append(CompareLine(f"{letter} {fit(name, room)}  {threshold}"))
    for at, pair in enumerate(found["differences"], 1):
        lines += _pair(found["runs"][0], found["runs"][at], pair, letters[at], names[at], at)
    if found["config"]:
        lines += [CompareLine(""), CompareLine("Config keys that differ", "best")]
    keys = min(32, max(map(len, found["config"]), default=0))
    for key, values in found["config"].items():
        texts = [f"{letter} {clean(value)}" for letter, value in zip(letters, values, strict=True)]
        whole = f"{clean(key):<{keys}}  {'   '.join(texts)}"
        for line in [whole] if len(whole) <= width else [clean(key), *(f"  {text}" for text in texts)]:
            lines += [CompareLine(part) for part in textwrap.wrap(line, width, subsequent_indent="    ")]
    return lines


def _pair(
    first: Mapping[str, Any], other: Mapping[str, Any], pair: Mapping[str, Any], letter: str, name: str, at: int
) -> Iterator[CompareLine]:
    yield from (CompareLine(""), CompareLine(f"{letter} {name} against A: p = {pair['p_dice_pos']:.4f}", "best"))
    yield CompareLine(f"{'':<{LABEL}}{'A':>8}{letter:>8}{f'{letter} - A':>10}   95 % interval", "faint")
    for key, entry in pair["metrics"].items():
        low, high = entry["interval"]
        better = (low > 0) if metric(key).higher_is_better else (high < 0)
        sign = " " if low <= 0 <= high else "▲" if better else "▼"
        values = f"{first[key]:>8.4f}{other[key]:>8.4f}{entry['difference']:>+10.4f}"
        yield CompareLine(f"{fit(clean(metric(key).label), LABEL)}{values} {sign} {low:+.4f} to {high:+.4f}")
    yield CompareLine(f"Images with the higher Dice: {letter} {pair['won']}, A {pair['lost']}")
    for title, images in (("Most gained", pair["most_won"]), ("Most lost", pair["most_lost"])):
        if images:
            yield CompareLine(f"{title} by {letter} (Enter shows the image)", "faint")
        for image, value in images.items():
            yield CompareLine(f"  {value:+.3f}  {clean(image)}", "", image, at)


class CompareList(ListView):
    """The lines of the comparison, with a cursor that Enter uses."""

    STYLES = "images"
    COMPONENT_CLASSES: ClassVar[set[str]] = {"images--cursor", "images--faint", "images--best"}
    lines: Sequence[CompareLine] = (CompareLine("Comparing …", "faint"),)

    @property
    def row_count(self) -> int:
        return len(self.lines)

    def show(self, lines: Sequence[CompareLine]) -> None:
        self.lines = lines
        self.replaced_rows(None)

    def draw_row(self, index: int, width: int) -> Strip:
        line = self.lines[index]
        return self.strip_of([(line.text, line.style)], width, index == self.cursor)


class CompareScreen(Screen[None]):
    """Compares runs with the first of them in a process of the engine, which ends with the screen."""

    CSS_PATH = "../styles/images.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("compare")]

    def __init__(self, sources: Sequence[Source]) -> None:
        super().__init__()
        self._sources = sources
        self._command: EngineCommand | None = None
        self._found: Mapping[str, Any] | str = ""
        """The comparison, or why it failed."""

    def compose(self) -> ComposeResult:
        yield CompareList(id="compare", classes="panel")
        yield KeyBar(id="keys")

    def on_mount(self) -> None:
        shown = self.query_one(CompareList)
        shown.border_title = Content.assemble(("Compare", "bold"), f"  {len(self._sources)} runs")
        shown.focus()
        self.run_worker(self._compare, thread=True, exit_on_error=False, group="compare")

    def on_unmount(self) -> None:
        if self._command is not None:
            self._command.kill()

    def _compare(self) -> None:
        """Run the comparison, in a thread."""
        post = self.app.call_later
        try:
            with TemporaryDirectory(prefix="xray-tui-") as folder:
                output = Path(folder, "compare.json")
                artifacts = [source.artifact for source in self._sources]
                self._command = EngineCommand("compare", *artifacts, "--output", output)
                if not self.is_attached:
                    self._command.kill()
                problem = self._command.finish()[1]
                found = problem or json.loads(output.read_text("utf-8"))
        except (OSError, ValueError) as error:
            found = in_words(error)
        post(self._take, found)

    def _take(self, found: Mapping[str, Any] | str) -> None:
        if self.is_attached:
            self._found = found
            self.on_resize()

    def on_resize(self) -> None:
        if found := self._found:
            shown = self.query_one(CompareList)
            width = max(40, shown.line_width - 1)
            if isinstance(found, str):
                lines = [CompareLine(line) for line in textwrap.wrap(found, width, break_on_hyphens=False)]
            else:
                lines = compare_lines(found, [clean(source.run) for source in self._sources], width)
            shown.show(lines)

    def action_open(self) -> None:
        """Show the image under the cursor in both runs."""
        shown = self.query_one(CompareList)
        line = shown.lines[shown.cursor]
        if line.image is None:
            self.notify("Put the cursor on an image below “Most gained” or “Most lost”", markup=False)
        else:
            self.app.push_screen(ImagesScreen([self._sources[0], self._sources[line.run]], line.image))
