"""The images screen: test images of one run, or of two side by side, with the outlines of mask and prediction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from rich.segment import Segment
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal
from textual.content import Content
from textual.screen import Screen
from textual.strip import Strip

from engine.contract.text import clean
from xray_tui.feeds.picture_process import Case, Cases, Drawing, PictureProcess, Request
from xray_tui.keymap import bindings
from xray_tui.widgets.format import fit
from xray_tui.widgets.key_bar import KeyBar
from xray_tui.widgets.list_view import ListView
from xray_tui.widgets.picture import BOTH, MASK, PREDICTION, Picture, picture_lines

if TYPE_CHECKING:
    from textual.widgets import Input

STEP = 0.05
"""Change of the threshold per key."""
LEAST, MOST = 0.01, 0.99
FIGURE = 7
"""Width of a column of figures in cells."""

ORDERS: dict[str, tuple[str, Callable[[Case], bool], Callable[[Case], tuple[float, str]]]] = {
    "worst": ("worst Dice first", lambda case: case.fractured, lambda case: (case.dice or 0.0, case.id)),
    "missed": ("missed fractures", lambda case: case.missed, lambda case: (-case.presence, case.id)),
    "false": ("false positives", lambda case: not case.fractured and case.fp > 0, lambda case: (-case.fp, case.id)),
    "name": ("all by name", lambda case: True, lambda case: (0.0, case.id)),
}
"""The lists of images: title, which images, and their order."""


class Source(NamedTuple):
    """A run, as the raw name of its folder, and its artifact."""

    run: str
    artifact: Path


class ImageList(ListView):
    """The images of a list with the Dice of each run; false-positive pixels in brackets without a fracture."""

    STYLES = "images"
    COMPONENT_CLASSES: ClassVar[set[str]] = {"images--cursor", "images--faint"}

    def __init__(self, start: str | None, moved: Callable[[], None]) -> None:
        """`moved` is called when the cursor is on another image."""
        super().__init__(id="images", classes="panel")
        self.cursor_moved = moved  # type: ignore[method-assign]
        self._sources: list[dict[str, Case]] = []
        self._cases: list[Case] = []
        self._start = start
        self.order, self.words = "worst", ""
        self.note = "Reading …"
        """Shown in an empty list."""

    @property
    def row_count(self) -> int:
        return len(self._cases)

    @property
    def case(self) -> Case | None:
        return self._cases[self.cursor] if 0 <= self.cursor < len(self._cases) else None

    def show(self, sources: list[dict[str, Case]]) -> None:
        """Show the images of the first run; each dictionary maps ids to images."""
        self._sources, self.note = sources, "No such image."
        self.rearrange(self._start)
        self._start = None

    def rearrange(self, keep: str | None = None) -> None:
        """Sort and filter the images. The cursor stays on its image, if the list still has it."""
        keep = keep or (self.case.id if self.case else None)
        title, wanted, key = ORDERS[self.order]
        words = self.words.lower().split()
        cases = filter(wanted, self._sources[0].values() if self._sources else ())
        self._cases = sorted((case for case in cases if all(word in case.id.lower() for word in words)), key=key)
        ids = [case.id for case in self._cases]
        self.replaced_rows(ids.index(keep) if keep in ids else min(0, len(ids) - 1))
        title = f"{len(ids)} {title}" + (f", filter: {clean(self.words)}" if words else "")
        self.border_title = Content.styled(title, "bold")
        self.cursor_moved()

    def draw_row(self, index: int, width: int) -> Strip:
        figures = [_figure(source.get(self._cases[index].id)) for source in self._sources]
        name = fit(clean(self._cases[index].id), max(4, width - FIGURE * len(figures)))
        return self.strip_of([(name, ""), ("".join(figures), "")], width, index == self.cursor)

    def draw_empty(self, y: int, width: int) -> Strip:
        return self.strip_of([(f" {self.note}", "faint")] if y == 0 and not self._cases else [], width)


def _figure(case: Case | None) -> str:
    value = "-" if case is None else f"({case.fp})" if case.dice is None else f"{case.dice:.3f}"
    return f"{value:>{FIGURE}}"


class ImagesScreen(Screen[None]):
    """Shows what processes of the engine draw; they end with the screen."""

    CSS_PATH = "../styles/images.tcss"
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (100, "-medium"), (140, "-wide")]  # noqa: RUF012
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("images")]

    def __init__(self, sources: Sequence[Source], start: str | None = None) -> None:
        """One run or two; `start` is the id of the first image to show."""
        super().__init__(classes="-two" if len(sources) > 1 else "")
        self._sources = sources
        self._images = ImageList(start, self._ask)
        self.failed: str | None = None
        """A run whose images cannot be drawn."""
        self._pictures = [Picture("Reading the test images …", classes="panel") for _ in sources]
        self._cases: dict[int, Cases] = {}
        self._processes: list[PictureProcess] = []
        self._zoom, self._steps = False, 0

    def compose(self) -> ComposeResult:
        with Horizontal():
            yield self._images
            yield from self._pictures
        yield KeyBar(id="keys")

    def on_mount(self) -> None:
        letters = self.app.no_color or self.app.console.color_system in (None, "standard")
        prediction, mask = ("", "") if letters else ("rgb(255,140,0)", "rgb(0,158,255)")
        texts = (f"{MASK} mask ", f"{PREDICTION} pred. {BOTH} both") if letters else ("━ mask ", "╍ prediction")
        self._images.border_subtitle = Content.assemble((texts[0], mask), (texts[1], prediction))
        self._images.focus()
        for picture, source in zip(self._pictures, self._sources, strict=True):
            picture.border_title = Content.styled(clean(source.run), "bold")
        post = self.app.call_later

        def received(at: int, value: Cases | Drawing | str) -> None:
            """Called in the thread of a process, where the lines are made."""
            lines = picture_lines(value, letters) if isinstance(value, Drawing) else []
            post(self._take, at, value, lines)

        self._processes = [
            PictureProcess(source.artifact, partial(received, at)) for at, source in enumerate(self._sources)
        ]

    def on_unmount(self) -> None:
        for process in self._processes:
            process.stop()

    def on_resize(self) -> None:
        self.call_after_refresh(self._ask)

    def _take(self, at: int, value: Cases | Drawing | str, lines: list[list[Segment]]) -> None:
        """Show what a process sent."""
        if not self.is_attached:
            return
        picture, case = self._pictures[at], self._images.case
        if isinstance(value, str):
            self.failed = self.failed or self._sources[at].run
            self._images.note = ""
            self._images.refresh()
            picture.show([], f"{value} · e opens the form that evaluates the run.")
        elif isinstance(value, Cases):
            picture.show([])
            self._cases[at] = value
            self._images.show([self._cases[index].by_id for index in sorted(self._cases)])
        elif case is not None and value.request.id == case.id:
            picture.show(lines, value.problem)
            picture.border_subtitle = Content(self._about(at, value))

    def _about(self, at: int, drawing: Drawing) -> str:
        """Dice, threshold (in brackets the artifact's, if it was moved) and presence score."""
        cases = self._cases[at]
        if (case := cases.by_id.get(drawing.request.id)) is None:
            return "not among the test images of this run"
        dice = f"Dice {drawing.dice or 0.0:.3f} at" if case.fractured else "no fracture, threshold"
        moved = f" ({cases.threshold:.3g})" if self._steps else ""
        return f"{dice} {drawing.request.threshold:.3g}{moved} · presence {case.presence:.2f}"

    def _ask(self) -> None:
        """Ask for the picture of the image under the cursor."""
        case = self._images.case
        for at, cases in self._cases.items():
            picture = self._pictures[at]
            image = f"  {clean(case.id)}" if case else ""
            picture.border_title = Content.assemble((clean(self._sources[at].run), "bold"), image)
            if case is None:
                picture.show([])
                picture.border_subtitle = None
            elif picture.size.width and picture.size.height:
                threshold = max(LEAST, min(MOST, cases.threshold + STEP * self._steps))
                rows, columns = 2 * picture.size.height, picture.size.width
                self._processes[at].ask(Request(case.id, rows, columns, threshold, self._zoom))

    # Key actions

    def action_step(self, steps: int) -> None:
        self._images.action_move(steps)

    def action_threshold(self, steps: int) -> None:
        """Move the thresholds of all runs, as far as one of them stays between the limits."""
        moved = [cases.threshold + STEP * (self._steps + steps) for cases in self._cases.values()]
        if any(LEAST - STEP < threshold < MOST + STEP for threshold in moved):
            self._steps += steps
            self._ask()

    def action_zoom(self, zoom: bool) -> None:
        self._zoom = zoom
        self._ask()

    def action_choose(self, order: str) -> None:
        self._images.order = order
        self._images.rearrange()

    async def action_filter(self) -> None:
        """Focus the filter input; open it if necessary."""
        from xray_tui.widgets.clean_input import CleanInput

        if not self.query("#filter"):
            words = CleanInput(self._images.words, placeholder="words in the name of an image", id="filter")
            await self.mount(words, before="#keys")
        self.query_one("#filter").focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        self._images.words = event.value
        self._images.rearrange()

    async def on_input_submitted(self) -> None:
        await self.query("#filter").remove()
        self._images.focus()

    async def action_close(self) -> None:
        """Remove the filter, or leave the screen."""
        if self.query("#filter") or self._images.words:
            await self.on_input_submitted()
            self._images.words = ""
            self._images.rearrange()
        else:
            self.dismiss(None)
