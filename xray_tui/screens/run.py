"""The run screen: everything known about the run under the cursor."""

from __future__ import annotations

import textwrap
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from posixpath import basename
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType

from engine.contract.metrics import METRICS, metric
from engine.contract.names import EVENTS
from engine.contract.text import clean
from xray_tui.board.details import Details, facts, read_details
from xray_tui.board.rank import ranked_figures
from xray_tui.feeds.job_files import NO_CURVE, EventTail
from xray_tui.keymap import bindings
from xray_tui.screens.run_config import Section, read_config
from xray_tui.screens.text_screen import WIDTH, TextScreen
from xray_tui.widgets.chart import CurveView
from xray_tui.widgets.format import age, fit, number
from xray_tui.widgets.job_format import GLYPHS, job_detail, state_of
from xray_tui.widgets.key_bar import KeyBar

if TYPE_CHECKING:
    from xray_tui.board.model import Artifact, Board, Row
    from xray_tui.jobs.model.job import Job

LABEL = 19
"""Width of a label in cells."""

SOURCES = {"fixed": "fixed beforehand", "val": "chosen on validation", "unknown": "origin unknown"}
"""Descriptions of threshold sources. Artifacts with a threshold chosen on test are unranked and never shown here."""

Entry = tuple[str, int]
"""A line, and the indent of the lines that continue it."""


class RunScreen(TextScreen):
    """Shows the metrics of a row with its choices, config, jobs and curve. A thread reads what the board does not have
    when the screen opens. Returns the id of the job whose log the user wants to read."""

    VERTICAL_BREAKPOINTS = [(0, "-short"), (32, "-tall")]  # noqa: RUF012
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("run")]

    def __init__(self, row: Row, board: Board, jobs: Iterable[Job] = ()) -> None:
        super().__init__(row.name, ())
        self.row = self._row = row
        self._board = board
        self._jobs = [job for job in jobs if job.spec.run == row.run]
        self._details = Details()
        self._config: list[Section] = []
        self._curve = NO_CURVE

    def compose(self) -> ComposeResult:
        yield from super().compose()
        curve = CurveView(id="curve", classes="panel")
        curve.border_title = "Curve"
        yield curve
        yield KeyBar(id="keys")

    def on_mount(self) -> None:
        self.run_worker(self._read, thread=True, exit_on_error=False, group="details")

    def on_resize(self) -> None:
        if self.is_mounted:
            width = self.size.width - 6  # without border, padding and scroll bar
            self.show(run_lines(self._row, self._board, self._details, time.time(), self._config, self._jobs, width))

    def _read(self) -> None:
        runs, run = self._board.runs, self._row.run
        details = read_details(runs, self._row.artifact.path, self._board.rules)
        config, events = read_config(runs, run), EventTail(runs / run / EVENTS)
        with suppress(ArithmeticError, LookupError, OSError, RecursionError, TypeError, ValueError):
            events.read()

        def show() -> None:
            if self.is_attached:
                self._details, self._config = details, config
                self._curve = events.reader.curve()
                self.query_one(CurveView).show(self._curve)
                self.set_class(not self._curve.empty, "-has-curve")
                self.on_resize()

        self.call_later(show)

    def action_curve(self) -> None:
        """Toggle between the curve alone and the text."""
        if self._curve.empty:
            self.notify("This run has no curve: its folder has no loss and no validation", markup=False)
        else:
            self.toggle_class("-large")
            self.query_one("#curve" if self.has_class("-large") else "#text").focus()

    def action_log(self) -> None:
        """Go to the log of the newest job of the run."""
        if self._jobs:
            self.dismiss(self._jobs[0].id)
        else:
            self.notify("No job in the list belongs to this run", markup=False)


def run_lines(
    row: Row, board: Board, details: Details, now: float, config: Sequence[Section] = (), jobs: Sequence[Job] = (),
    width: int = WIDTH,
) -> list[str]:  # fmt: skip
    """The lines of the screen; `now` is in seconds since the epoch."""
    artifact, since = row.artifact, now - row.artifact.time
    count = "n unknown" if artifact.num_samples is None else f"n = {artifact.num_samples} test images"
    positive = "" if artifact.num_positive is None else f", {artifact.num_positive} with a fracture"
    when = "new" if since < 60 else f"{age(since)} old"
    problem = f"The artifact could not be read completely: {details.problem}" if details.problem else ""
    entries: list[Entry] = [
        (f"{count}{positive} · rank {row.rank} of {len(board.rows)} · {when} · {row.source}", 2),
        *((clean(mark), 2) for mark in row.marks),
        *([(problem, 2)] if problem else []),
        ("", 0),
        *_figures(artifact, details),
        *(entry for section in config[:-1] for entry in _section(*section)),
        *_block("Jobs", ((f"{GLYPHS[state_of(job)]} {state_of(job)}", job_detail(job, now)) for job in jobs)),
        *_block("Choices", _choices(artifact, details)),
        *_block("Data", _data(artifact, details)),
        *_block("Provenance", _labelled(details.provenance)),
        *_others(row, board),
        *(entry for section in config[-1:] for entry in _section(*section)),
    ]
    lines = (
        textwrap.wrap(text, width, subsequent_indent=" " * more, break_on_hyphens=False) or [""]
        for text, more in entries
    )
    return [f" {line}".rstrip() for wrapped in lines for line in wrapped]


def _figures(artifact: Artifact, details: Details) -> Iterator[Entry]:
    """The table of metrics. Columns: test, interval, test at the network's input size, validation, and floor."""
    yield f"{'':<{LABEL}}{'test':>8}{'95 % interval':>18}{'at input':>9}{'validation':>11}{'floor':>8}", 0
    blocks = (artifact.metrics, artifact.input_size, artifact.validation)
    known = [item.name for item in METRICS]
    names = [name for name in known if any(name in block for block in blocks)]
    names += sorted({name for block in blocks for name in block} - set(known))
    for name in names:
        test, at_input, validation = (number(block.get(name)) for block in blocks)
        low_high = artifact.intervals.get(name)
        interval = f"{low_high[0]:.4f} to {low_high[1]:.4f}" if low_high else "-"
        floor = number(details.all_positive.get(name))
        label = fit(clean(metric(name).label), LABEL)
        yield f"{label}{test:>8}{interval:>18}{at_input:>9}{validation:>11}{floor:>8}", 0
    if details.all_positive:
        yield from (("", 0), ("Floor: the score of predicting a fracture everywhere on these test images.", 2))


def _choices(artifact: Artifact, details: Details) -> Iterator[tuple[str, str]]:
    if artifact.threshold is not None:
        yield "Threshold", f"{artifact.threshold:g}, {SOURCES[artifact.threshold_source]}"
    yield "TTA", artifact.tta or "unknown"
    selection = dict(details.selection or facts(artifact.selection))
    for shown_elsewhere in ("threshold_source", "look"):
        selection.pop(shown_elsewhere, None)
    yield "Presence score", selection.pop("presence_source", "unknown")
    yield "Gate", selection.pop("gate", "unknown")
    yield from _labelled(selection)
    if details.look is not None:
        yield "Looks", details.look


def _data(artifact: Artifact, details: Details) -> Iterator[tuple[str, str]]:
    data = dict(details.data)
    data.pop("metric_resolution", None)
    known = {
        "Resolution": artifact.resolution,
        "Fingerprint": data.pop("fingerprint", artifact.fingerprint),
        "Image by image": artifact.per_image,
    }
    yield from ((label, clean(value)) for label, value in known.items() if value is not None)
    yield from _labelled(data)


def _others(row: Row, board: Board) -> list[Entry]:
    """The other artifacts of the run: the ranked ones, then the unranked ones."""
    primary = board.rules.primary
    lines = []
    for other in row.others:
        threshold = "?" if other.threshold is None else f"{other.threshold:g} ({other.threshold_source})"
        score = number(ranked_figures(other, board.rules).get(primary))
        lines.append(f"{score}  {basename(other.path)}, threshold {threshold}, TTA {other.tta or '?'}")
    lines += [f"{'-':>6}  {basename(item.path)}: {item.reason}" for item in board.set_aside if item.run == row.run]
    heading = f"Other artifacts of this run, by {clean(metric(primary).label)}"
    return _section(heading, map(clean, lines), 10)


def _labelled(facts: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for key, text in facts.items():
        yield key.replace("_", " ").capitalize(), text


def _block(heading: str, entries: Iterable[tuple[str, str]]) -> list[Entry]:
    return _section(heading, (f"{fit(label, LABEL - 3)} {text}" for label, text in entries), LABEL)


def _section(heading: str, lines: Iterable[str], more: int = 6) -> list[Entry]:
    """A heading and the lines; nothing if there are no lines."""
    entries = [(f"  {line}", more) for line in lines]
    return [("", 0), (heading, 2), *entries] if entries else []
