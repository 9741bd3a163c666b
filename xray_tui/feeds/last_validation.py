"""The metrics of a running training's last validation, from its events.jsonl."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from engine.contract.events import parse_events
from engine.contract.names import EVENTS
from xray_tui.logs.curve_reader import number
from xray_tui.logs.tail import Tail

if TYPE_CHECKING:
    from xray_tui.jobs.model.job import Job

Block = Mapping[str, float]


class Validations:
    """Reads only what the trainings have written since the last call."""

    def __init__(self, runs: Path) -> None:
        self._runs = runs
        self._known: dict[str, tuple[Tail, Block]] = {}

    def read(self, jobs: Iterable[Job]) -> dict[str, Block]:
        """Map the run of each running training to the metrics of its last validation; empty before the first one."""
        running = {job.spec.run for job in jobs if job.readable and job.spec.kind == "train" and job.state == "running"}
        self._known = {run: self._update(run) for run in sorted(running)}
        return {run: values for run, (_, values) in self._known.items()}

    def _update(self, run: str) -> tuple[Tail, Block]:
        tail, values = self._known.get(run) or (Tail(self._runs / run / EVENTS, only_end=True), {})
        chunk = tail.read()
        for event in parse_events(chunk.data.decode("utf-8", "replace")) if chunk else ():
            if event["event"] == "epoch" and isinstance(found := event.get("val"), dict):
                values = {key: value for key in found if (value := number(found[key])) is not None}
        return tail, values
