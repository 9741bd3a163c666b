"""The lines of a form that say, before Enter, whether the job has what it needs and what it will take."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from textual import work
from textual.content import Content
from textual.message import Message
from textual.timer import Timer
from textual.widgets import Static
from textual.worker import Worker, WorkerState, get_current_worker

from engine.contract.errors import BadInput
from engine.contract.text import clean
from xray_tui.gpu.sample import GpuSnapshot
from xray_tui.settings import Settings

if TYPE_CHECKING:
    from xray_tui.jobs.outlook import Outlook
    from xray_tui.screens.launch_plan import Launch

Look = Callable[["Launch"], "Outlook"]

PAUSE = 0.3
"""Seconds without a change before the disk is looked at."""


def looking(runs: Path, settings: Settings, snapshot: Callable[[], GpuSnapshot]) -> Look:
    """How a form looks ahead, for a thread: with the GPUs as last seen, and on the terms of the settings."""

    def look(launch: Launch) -> Outlook:
        # Brings the launcher with it, and reads the configs of past runs: nothing that a key should wait for.
        from xray_tui.jobs.forecast import Surroundings
        from xray_tui.jobs.outlook import look_ahead
        from xray_tui.jobs.terms import Terms, terms_of

        try:
            terms = terms_of(settings)
        except BadInput:  # the launch says it
            terms = Terms()
        lease_dir = str(settings.lease_dir) if settings.lease_dir else None
        found = look_ahead(launch.specs, Surroundings(runs, snapshot(), terms, lease_dir), launch.evaluate)
        # Nobody knows when a held job begins.
        return replace(found, queue=None) if launch.hold else found

    return look


class OutlookLines(Static):
    """What is bad, or that nothing is; what the job will take, and when the queue is done."""

    @dataclass
    class Looked(Message):
        """What was found out of this launch."""

        launch: Launch
        outlook: Outlook

    def __init__(self, look: Look) -> None:
        super().__init__(id="form-outlook")
        self._look = look
        self._launch: Launch | None = None
        self._timer: Timer | None = None

    def ask(self, launch: Launch | None) -> None:
        """Look at this launch, once it stays the same for a moment; None: there is nothing to say."""
        if launch == self._launch:
            return
        self._launch = launch
        if self._timer is not None:
            self._timer.stop()
        if launch is not None:
            self.add_class("-old")
            self._timer = self.set_timer(PAUSE, lambda: self._look_at(launch))
        else:
            self.update("")

    @work(thread=True, exclusive=True, exit_on_error=False, group="form-outlook")
    def _look_at(self, launch: Launch) -> None:
        worker = get_current_worker()
        found = self._look(launch)
        if not worker.is_cancelled:
            self.post_message(self.Looked(launch, found))

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        if event.state is WorkerState.ERROR:
            self.update(Content(clean(f"! nothing can be said: {event.worker.error}")))

    def on_outlook_lines_looked(self, message: Looked) -> None:
        if message.launch == self._launch:
            self.remove_class("-old")
            self.update(Content("\n".join(short_lines(message.outlook))))


def short_lines(outlook: Outlook) -> list[str]:
    """What is wrong, a line each, or the names of all that is well on one; then the forecast."""
    wrong = [check for check in outlook.checks if check.sign != "✓"]
    if wrong:
        return [*(f"{check.sign} {check.text}" for check in wrong), *outlook.forecast]
    well = dict.fromkeys(check.text.partition(":")[0] for check in outlook.checks)
    return [f"✓ {', '.join(well)}", *outlook.forecast]
