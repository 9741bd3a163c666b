"""The run screen: everything known about the run under the cursor."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from posixpath import basename
from typing import TYPE_CHECKING

from engine.contract.metrics import METRICS, metric
from engine.contract.text import clean
from xray_tui.board.details import Details, facts, read_details
from xray_tui.board.rank import ranked_figures
from xray_tui.screens.text_screen import TextScreen, wrapped
from xray_tui.widgets.format import age, fit, number

if TYPE_CHECKING:
    from xray_tui.board.model import Artifact, Board, Row

LABEL = 19
"""Width of a label in cells."""

SOURCES = {"fixed": "fixed beforehand", "val": "chosen on validation", "unknown": "origin unknown"}
"""Descriptions of threshold sources. Artifacts with a threshold chosen on test are unranked and never shown here."""


class RunScreen(TextScreen):
    """Shows the metrics of a row with its choices, data and provenance. A thread reads the rest of the artifact when
    the screen opens."""

    def __init__(self, row: Row, board: Board) -> None:
        super().__init__(row.name, run_lines(row, board, Details(), time.time()))
        self._row = row
        self._board = board

    def on_mount(self) -> None:
        self.run_worker(self._read, thread=True, exit_on_error=False, group="details")

    def _read(self) -> None:
        details = read_details(self._board.runs, self._row.artifact.path, self._board.rules)
        self.call_later(lambda: self.show(run_lines(self._row, self._board, details, time.time())))


def run_lines(row: Row, board: Board, details: Details, now: float) -> list[str]:
    """The lines of the screen; `now` is in seconds since the epoch."""
    artifact = row.artifact
    since = now - artifact.time
    lines = [
        *wrapped(f"Rank {row.rank}, {'new' if since < 60 else age(since) + ' old'}, by {row.source}"),
        *(line for mark in row.marks for line in wrapped(clean(mark))),
        *wrapped(f"The artifact could not be read completely: {details.problem}" if details.problem else ""),
        "",
        *_figures(artifact, details),
        *_block("Choices", _choices(artifact, details)),
        *_block("Data", _data(artifact, details)),
        *_block("Provenance", _labelled(details.provenance)),
        *_others(row, board),
    ]
    return [f" {line}".rstrip() for line in lines]


def _figures(artifact: Artifact, details: Details) -> Iterator[str]:
    """The table of metrics. Columns: test, interval, test at the network's input size, validation, and floor."""
    yield f"{'':<{LABEL}}{'test':>8}{'95 % interval':>18}{'at input':>9}{'validation':>11}{'floor':>8}"
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
        yield f"{label}{test:>8}{interval:>18}{at_input:>9}{validation:>11}{floor:>8}"
    if details.all_positive:
        yield ""
        yield from wrapped("Floor: the score of predicting a fracture everywhere on these test images.")


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
        "Images": artifact.num_samples,
        "With a fracture": artifact.num_positive,
        "Resolution": artifact.resolution,
        "Fingerprint": data.pop("fingerprint", artifact.fingerprint),
        "Image by image": artifact.per_image,
    }
    yield from ((label, clean(str(value))) for label, value in known.items() if value is not None)
    yield from _labelled(data)


def _others(row: Row, board: Board) -> Iterator[str]:
    """The other artifacts of the run: the ranked ones, then the unranked ones."""
    primary = board.rules.primary
    lines = []
    for other in row.others:
        threshold = "?" if other.threshold is None else f"{other.threshold:g} ({other.threshold_source})"
        score = number(ranked_figures(other, board.rules).get(primary))
        lines.append(f"{score}  {basename(other.path)}, threshold {threshold}, TTA {other.tta or '?'}")
    lines += [f"{'-':>6}  {basename(item.path)}: {item.reason}" for item in board.set_aside if item.run == row.run]
    if lines:
        yield from ("", f"Other artifacts of this run, by {clean(metric(primary).label)}")
        for line in lines:
            yield from wrapped(clean(line), indent="  ", more=" " * 10)


def _labelled(facts: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for key, text in facts.items():
        yield key.replace("_", " ").capitalize(), text


def _block(heading: str, entries: Iterable[tuple[str, str]]) -> Iterator[str]:
    """A heading and the entries; nothing if there are no entries."""
    lines = [line for label, text in entries for line in _entry(label, text)]
    if lines:
        yield from ("", heading, *lines)


def _entry(label: str, text: str) -> list[str]:
    return wrapped(text, indent="  " + fit(label, LABEL - 2), more=" " * LABEL)
