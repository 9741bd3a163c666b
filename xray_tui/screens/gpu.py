"""The GPU screen: all figures of one GPU, and the processes of all GPUs; `K` stops the job of the selected process."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.content import Content
from textual.message import Message
from textual.screen import Screen
from textual.widgets import Static

from engine.contract.text import clean
from xray_tui.keymap import bindings
from xray_tui.widgets.gpu_format import short_name
from xray_tui.widgets.gpu_layout import age_line
from xray_tui.widgets.key_bar import KeyBar
from xray_tui.widgets.message_line import MessageLine
from xray_tui.widgets.process_format import gpu_head
from xray_tui.widgets.process_list import ProcessList

if TYPE_CHECKING:
    from xray_tui.feeds.gpu_feed import Gpus
    from xray_tui.gpu.snapshot import GpuProcess, GpuSample

STYLES = {
    "": "", "faint": "$faint", "good": "$text-key", "warm": "$text-warm", "hot": "bold $text-bad",
    "bad": "bold $text-bad",
}  # fmt: skip
"""Maps the style names in the lines of `gpu_head` to Textual styles."""

TIMES_EVERY = 1.0
"""Interval in seconds at which the displayed age is checked."""


class GpuHead(Static):
    """The GPU's figures and the history of its last minute."""

    _shown: tuple[GpuSample, Gpus] | None = None

    def show(self, gpu: GpuSample, gpus: Gpus) -> None:
        self._shown = gpu, gpus
        self.on_resize()

    def refresh_age(self) -> None:
        """Redraw if the displayed age of stale figures has changed."""
        if self._shown is not None and age_line(self._shown[1].snapshot, time.time()) is not None:
            self.on_resize()

    def on_resize(self) -> None:
        if self._shown is not None:
            lines = gpu_head(*self._shown, self.size.width or 80, time.time())
            styled = [Content.assemble(*((text, STYLES[name]) for text, name in line)) for line in lines]
            self.update(Content("\n").join(styled), layout=len(lines) != self.size.height)


class GpuScreen(Screen[None]):
    """Shows one GPU, identified by its UUID, or by its index if it has none: that of the selected process. The left and
    right keys go to the other GPUs."""

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
        yield MessageLine()
        yield KeyBar(id="keys")

    def on_mount(self) -> None:
        self.query_one(ProcessList).focus()
        self.set_interval(TIMES_EVERY, self.query_one(GpuHead).refresh_age)
        self.show(self._gpus)
        self.query_one(ProcessList).select(self._gpu)

    def show(self, gpus: Gpus) -> None:
        """Show a new sample; a GPU missing from it keeps its last figures."""
        self._gpus = gpus
        for gpu in gpus.snapshot.gpus:
            if _same(gpu, self._gpu):
                self._gpu = gpu
        if self.query(GpuHead):  # if it does not exist yet, on_mount draws
            self._draw()
            self.query_one(ProcessList).show(gpus)

    def _draw(self) -> None:
        gpu, gpus, head = self._gpu, self._gpus, self.query_one(GpuHead)
        head.border_title = Content.assemble((f"GPU {gpu.index}  {short_name(gpu)}", "bold"))
        head.border_subtitle = Content(f"driver {clean(gpus.snapshot.driver)}" if gpus.snapshot.driver else "")
        head.show(gpu, gpus)

    def on_process_list_moved(self, message: ProcessList.Moved) -> None:
        self._gpu = message.gpu
        self._draw()

    def action_step(self, steps: int) -> None:
        """Show the GPU that is `steps` further on, wrapping around at both ends."""
        gpus = self._gpus.snapshot.gpus
        indices = [index for index, gpu in enumerate(gpus) if _same(gpu, self._gpu)]
        if gpus:
            self._gpu = gpus[(indices[0] + steps) % len(gpus) if indices else 0]
            self._draw()
            self.query_one(ProcessList).select(self._gpu)

    def action_stop(self) -> None:
        process = self.query_one(ProcessList).process
        if process is not None:
            self.post_message(self.StopWanted(process))


def _same(gpu: GpuSample, other: GpuSample) -> bool:
    return gpu.uuid == other.uuid if gpu.uuid and other.uuid else gpu.index == other.index
