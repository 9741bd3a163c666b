"""The process list of the GPU screen, largest process first. The cursor stays on its process."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, ClassVar

from textual.strip import Strip

from xray_tui.widgets.list_view import ListView
from xray_tui.widgets.process_format import process_head, process_line, run_cells

if TYPE_CHECKING:
    from xray_tui.feeds.gpu_feed import Gpus
    from xray_tui.gpu.snapshot import GpuProcess, GpuSample


class ProcessList(ListView):
    """Shows running times as of the sample, so the lines change only with a new sample."""

    STYLES = "gpu"
    COMPONENT_CLASSES: ClassVar[set[str]] = {"gpu--cursor", "gpu--faint", "gpu--good"}
    HEAD_ROWS = 1

    def __init__(self, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._gpus: Gpus | None = None
        self._processes: tuple[GpuProcess, ...] = ()
        self._empty = ""
        self._now = 0.0

    @property
    def row_count(self) -> int:
        return len(self._processes)

    @property
    def process(self) -> GpuProcess | None:
        """The process under the cursor."""
        return self._processes[self.cursor] if 0 <= self.cursor < len(self._processes) else None

    def show(self, gpu: GpuSample, gpus: Gpus) -> None:
        """Show the processes of a new sample."""
        selected = self.process
        self._gpus, self._now = gpus, time.time()
        self._processes = gpu.processes or ()
        self._empty = _why_empty(gpu)
        keys = [(process.pid, process.started) for process in self._processes]
        self.replaced_rows(keys.index(key) if selected and (key := (selected.pid, selected.started)) in keys else None)

    def _run_cells(self, width: int) -> int:
        return run_cells(self._processes, self._gpus, width) if self._gpus else 4

    def draw_head(self, y: int, width: int) -> Strip:
        return self.strip_of([(process_head(width, self._run_cells(width)), "faint")], width)

    def draw_row(self, index: int, width: int) -> Strip:
        assert self._gpus is not None
        parts = process_line(self._processes[index], self._gpus, width, self._run_cells(width), self._now)
        return self.strip_of(parts, width, index == self.cursor)

    def draw_empty(self, y: int, width: int) -> Strip:
        if y == 0 and not self._processes:
            return self.strip_of([(f" {self._empty}", "faint")], width)
        return super().draw_empty(y, width)


def _why_empty(gpu: GpuSample) -> str:
    if gpu.processes is not None:
        return "No process uses this GPU."
    why = f": {gpu.processes_problem}" if gpu.processes_problem else ""
    return f"Its processes cannot be listed{why}."
