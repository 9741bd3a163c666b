"""The GPU screen: all figures of one GPU, and its processes; `K` stops the job of the selected process."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.content import Content
from textual.geometry import Size
from textual.message import Message
from textual.screen import Screen
from textual.strip import Strip
from textual.widget import Widget

from engine.contract.text import clean
from xray_tui.keymap import bindings
from xray_tui.widgets.format import Line
from xray_tui.widgets.gpu_format import short_name
from xray_tui.widgets.gpu_layout import age_line
from xray_tui.widgets.key_bar import KeyBar
from xray_tui.widgets.list_view import strip
from xray_tui.widgets.process_format import gpu_head
from xray_tui.widgets.process_list import ProcessList

if TYPE_CHECKING:
    from xray_tui.feeds.gpu_feed import Gpus
    from xray_tui.gpu.snapshot import GpuProcess, GpuSample

TIMES_EVERY = 1.0
"""Interval in seconds at which the displayed age is checked."""


class GpuHead(Widget):
    """The GPU's figures and a chart of its last minute."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {f"gpu--{name}" for name in ("faint", "good", "warm", "hot", "bad")}

    def __init__(self, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._shown: tuple[GpuSample, Gpus] | None = None
        self._lines: list[Line] = []

    def show(self, gpu: GpuSample, gpus: Gpus) -> None:
        self._shown = gpu, gpus
        self._draw()

    def refresh_age(self) -> None:
        """Draw again if the shown age of stale figures has changed."""
        if self._shown is not None and age_line(self._shown[1].snapshot, time.time()) is not None:
            self._draw()

    def on_resize(self) -> None:
        self._draw()

    def _draw(self) -> None:
        lines = self._lines_for(self.size.width or 80)
        layout, self._lines = len(lines) != len(self._lines), lines
        self.refresh(layout=layout)

    def _lines_for(self, width: int) -> list[Line]:
        return gpu_head(*self._shown, width, time.time()) if self._shown else []

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        return max(1, len(self._lines_for(width)))

    def render_line(self, y: int) -> Strip:
        base = self.rich_style
        parts = [
            (text, base + self.get_component_rich_style(f"gpu--{name}", partial=True) if name else base)
            for text, name in (self._lines[y] if y < len(self._lines) else [])
        ]
        return strip(parts, self.size.width, base)


class GpuScreen(Screen[None]):
    """Shows one GPU, identified by its UUID, or by its index without a UUID; left and right go to the other GPUs."""

    CSS_PATH = "../styles/gpu.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("gpu")]

    @dataclass
    class StopWanted(Message):
        """The user wants to stop the job of this process."""

        process: GpuProcess

    def __init__(self, gpu: GpuSample, gpus: Gpus) -> None:
        super().__init__()
        self._gpu = gpu
        self._gpus = gpus

    def compose(self) -> ComposeResult:
        yield GpuHead(id="gpu", classes="panel")
        yield ProcessList(id="processes", classes="panel")
        yield KeyBar(id="keys")

    def on_mount(self) -> None:
        self.query_one(ProcessList).focus()
        self.set_interval(TIMES_EVERY, self.query_one(GpuHead).refresh_age)
        self.show(self._gpus)

    def show(self, gpus: Gpus) -> None:
        """Show a new sample; a GPU missing from it keeps its last figures."""
        self._gpus = gpus
        for gpu in gpus.snapshot.gpus:
            if _same(gpu, self._gpu):
                self._gpu = gpu
        if self.query(GpuHead):  # on_mount draws otherwise
            self._draw()

    def _draw(self) -> None:
        gpu, gpus = self._gpu, self._gpus
        head, processes = self.query_one(GpuHead), self.query_one(ProcessList)
        head.border_title = Content.assemble((f"GPU {gpu.index}  {short_name(gpu)}", "bold"))
        head.border_subtitle = Content(f"driver {clean(gpus.snapshot.driver)}" if gpus.snapshot.driver else "")
        head.show(gpu, gpus)
        count = len(gpu.processes or ())
        processes.border_title = Content.assemble(("Processes", "bold"), f"  {count}" if count else "")
        processes.show(gpu, gpus)

    def action_step(self, steps: int) -> None:
        """Show the GPU `steps` further, cyclically."""
        gpus = self._gpus.snapshot.gpus
        indices = [index for index, gpu in enumerate(gpus) if _same(gpu, self._gpu)]
        if gpus:
            self._gpu = gpus[(indices[0] + steps) % len(gpus) if indices else 0]
            self._draw()

    def action_stop(self) -> None:
        process = self.query_one(ProcessList).process
        if process is not None:
            self.post_message(self.StopWanted(process))

    def action_close(self) -> None:
        self.dismiss(None)


def _same(gpu: GpuSample, other: GpuSample) -> bool:
    return gpu.uuid == other.uuid if gpu.uuid and other.uuid else gpu.index == other.index
