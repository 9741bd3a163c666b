"""Lines of a form with the checks and the forecast of the launch."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from textual import work
from textual.content import Content
from textual.message import Message
from textual.timer import Timer
from textual.widgets import Static
from textual.worker import Worker, get_current_worker

from engine.contract.errors import BadInput
from engine.contract.text import clean
from xray_tui.gpu.snapshot import GpuSnapshot
from xray_tui.settings import Settings

if TYPE_CHECKING:
    from xray_tui.forms.options import Launch
    from xray_tui.jobs.preflight.estimate import PastJobs
    from xray_tui.jobs.preflight.preflight import Outlook

Look = Callable[["Launch"], "Outlook"]

PAUSE = 0.3
"""Seconds without a change before the first check."""
AGAIN = 2.0
"""Seconds between two checks of the same launch; the later ones read only changed files."""


def looking(runs: Path, settings: Settings, snapshot: Callable[[], GpuSnapshot]) -> Look:
    """A function that checks a launch with the last GPU snapshot and the settings. It blocks: call it in a thread."""
    known: PastJobs | None = None

    def look(launch: Launch) -> Outlook:
        # Imported in the thread, because these modules import the launcher, which takes long.
        from xray_tui.jobs.model.gpu_policy import GpuPolicy, policy_of
        from xray_tui.jobs.preflight.estimate import PastJobs
        from xray_tui.jobs.preflight.preflight import look_ahead

        try:
            terms = policy_of(settings)
        except BadInput:  # the launch reports it
            terms = GpuPolicy()
        nonlocal known
        known = known or PastJobs(runs)
        return look_ahead(launch.specs, known, snapshot(), terms, launch.evaluate)

    return look


class OutlookLines(Static):
    """The checks of a launch, except the one in the verdict, and the forecast.

    The checks are repeated every AGAIN seconds, so the verdict changes when a missing file appears.
    """

    @dataclass
    class Looked(Message):
        """A check of the launch has ended; `outlook` is None if it raised an error."""

        launch: Launch
        outlook: Outlook | None
        failure: str = ""

    def __init__(self, look: Look) -> None:
        super().__init__(id="form-outlook")
        self._look = look
        self._launch: Launch | None = None
        self._timer: Timer | None = None
        self._looking: Worker[None] | None = None
        self._answered = asyncio.Event()
        self._lines: list[str] = []
        self.outlook: Outlook | None = None
        """The result of the last check of this launch; None before the first has ended, and if it failed."""

    @property
    def is_checking(self) -> bool:
        """Whether the first check of this launch has not ended yet."""
        return self._launch is not None and not self._answered.is_set()

    def on_mount(self) -> None:
        self.set_interval(AGAIN, self._look_again)

    def ask(self, launch: Launch | None) -> None:
        """Check this launch once it has not changed for PAUSE seconds. None clears the lines."""
        if launch == self._launch:
            return
        self._launch, self.outlook = launch, None
        self._answered.clear()
        if self._timer is not None:
            self._timer.stop()
            self._timer = None
        if launch is not None:
            self.add_class("-old")
            self._timer = self.set_timer(PAUSE, self._look_now)
        else:
            self._show([])

    async def answer(self, within: float) -> Outlook | None:
        """The result of the check. Waits for it for at most `within` seconds; None after that, or if it failed."""
        if self.is_checking:
            if self._timer is not None:
                self._timer.stop()
                self._look_now()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._answered.wait(), within)
        return self.outlook

    def _look_now(self) -> None:
        if self._launch is not None:
            self._timer, self._looking = None, self._look_at(self._launch)

    def _look_again(self) -> None:
        """Repeat the checks, unless one is due or running: on a hanging file server, threads would pile up."""
        if self._timer is None and (self._looking is None or self._looking.is_finished):
            self._look_now()

    @work(thread=True, exclusive=True, exit_on_error=False, group="form-outlook")
    def _look_at(self, launch: Launch) -> None:
        worker = get_current_worker()
        try:
            looked = self.Looked(launch, self._look(launch))
        except Exception as error:
            looked = self.Looked(launch, None, f"! could not check: {error}")
        if not worker.is_cancelled:
            self.post_message(looked)

    def on_outlook_lines_looked(self, message: Looked) -> None:
        """Show the result, and pass the message to the form unless the launch has changed since."""
        if message.launch != self._launch:
            message.stop()
            return
        self.outlook = message.outlook
        self._answered.set()
        self.remove_class("-old")
        self._show(short_lines(message.outlook) if message.outlook else [message.failure])

    def _show(self, lines: list[str]) -> None:
        if lines != self._lines:
            self._lines = lines
            self.update(Content("\n".join(map(clean, lines))))


def short_lines(outlook: Outlook) -> list[str]:
    """The failed checks and warnings, one a line, or the names of the passed checks; then the forecast.

    The first failed check is left out: the verdict shows it.
    """
    failed = [check for check in outlook.checks if check.sign != "✓" and check not in outlook.bad[:1]]
    if failed or outlook.is_bad:
        return [*(f"{check.sign} {check.text}" for check in failed), *outlook.forecast]
    passed = dict.fromkeys(check.text.partition(":")[0] for check in outlook.checks)
    return [f"✓ {', '.join(passed)}", *outlook.forecast]
