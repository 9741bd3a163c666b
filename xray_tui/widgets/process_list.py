"""The process list of the GPU screen: the processes of all GPUs. The cursor stays on its process."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from textual.content import Content
from textual.message import Message
from textual.strip import Strip

from engine.contract.text import clean
from xray_tui.widgets.list_view import ListView
from xray_tui.widgets.process_format import process_head, process_line, run_cells, why_unlisted

if TYPE_CHECKING:
    from xray_tui.feeds.gpu_feed import Gpus
    from xray_tui.gpu.snapshot import GpuProcess, GpuSample


class ProcessList(ListView):
    """Shows running times as of the sample, so the lines change only with a new sample."""

    STYLES = "gpu"
    COMPONENT_CLASSES: ClassVar[set[str]] = {"gpu--cursor", "gpu--faint", "gpu--good"}
    HEAD_ROWS = 1

    @dataclass
    class Moved(Message):
        """The user moved the cursor to a process of this GPU."""

        gpu: GpuSample

    def __init__(self, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._gpus: Gpus | None = None
        self._rows: list[tuple[GpuSample, GpuProcess]] = []
        """The processes, by GPU and then the largest first."""
        self._empty = ""
        self._now = 0.0

    @property
    def row_count(self) -> int:
        return len(self._rows)

    @property
    def process(self) -> GpuProcess | None:
        """The process under the cursor."""
        return self._rows[self.cursor][1] if 0 <= self.cursor < len(self._rows) else None

    def show(self, gpus: Gpus) -> None:
        """Show the processes of a new sample."""
        selected = list(map(_key, self._rows))[self.cursor] if self.process else None
        self._gpus, self._now = gpus, time.time()
        self._rows = [(gpu, process) for gpu in gpus.snapshot.gpus for process in gpu.processes or ()]
        keys = list(map(_key, self._rows))
        unlisted = [gpu for gpu in gpus.snapshot.gpus if gpu.processes is None]
        self._empty = (
            f"The processes cannot be listed{why_unlisted(unlisted[0])}." if unlisted else "No process uses a GPU."
        )
        parts = [str(len(keys))] * bool(keys) + [f"not listed for GPU {gpu.index}" for gpu in unlisted]
        self.border_title = Content.assemble(("Processes", "bold"), f"  {' · '.join(parts)}")
        self.replaced_rows(keys.index(selected) if selected in keys else None)

    def select(self, gpu: GpuSample) -> None:
        """Put the cursor on the first process of the GPU; leave it if there is none."""
        indices = [index for index, (other, _) in enumerate(self._rows) if other == gpu]
        if indices:
            self.replaced_rows(indices[0])

    def cursor_moved(self) -> None:
        if self.process is not None:
            self.post_message(self.Moved(self._rows[self.cursor][0]))

    def _run_cells(self, width: int) -> int:
        owners = self._gpus.owners if self._gpus else {}
        return run_cells((clean(owners[row[1].pid].run) for row in self._rows if row[1].pid in owners), width)

    def draw_head(self, y: int, width: int) -> Strip:
        return self.strip_of([(process_head(width, self._run_cells(width)), "faint")], width)

    def draw_row(self, index: int, width: int) -> Strip:
        assert self._gpus is not None
        gpu, process = self._rows[index]
        parts = process_line(gpu.index, process, self._gpus, width, self._run_cells(width), self._now)
        return self.strip_of(parts, width, index == self.cursor)

    def draw_empty(self, y: int, width: int) -> Strip:
        if y == 0 and not self._rows:
            return self.strip_of([(f" {self._empty}", "faint")], width)
        return super().draw_empty(y, width)


def _key(row: tuple[GpuSample, GpuProcess]) -> tuple[str, int, float | None]:
    gpu, process = row
    return gpu.uuid, process.pid, process.started
