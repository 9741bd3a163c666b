"""The lines of a form that say, before Enter, whether the job has what it needs and what it will take."""

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
    from xray_tui.jobs.preflight.past_jobs import KnownJobs
    from xray_tui.jobs.preflight.preflight import Outlook

Look = Callable[["Launch"], "Outlook"]

PAUSE = 0.3
"""Seconds without a change before the disk is looked at."""
AGAIN = 2.0
"""Seconds between two looks at the same launch; a look reads only files that have changed."""


def looking(runs: Path, settings: Settings, snapshot: Callable[[], GpuSnapshot]) -> Look:
    """How a form looks ahead, for a thread: with the GPUs as last seen, and on the terms of the settings."""
    known: KnownJobs | None = None

    def look(launch: Launch) -> Outlook:
        # Brings the launcher with it, and reads the configs of past runs: nothing that a key should wait for.
        from xray_tui.jobs.model.gpu_policy import Terms, terms_of
        from xray_tui.jobs.preflight.forecast import Surroundings
        from xray_tui.jobs.preflight.past_jobs import KnownJobs
        from xray_tui.jobs.preflight.preflight import look_ahead

        try:
            terms = terms_of(settings)
        except BadInput:  # the launch says it
            terms = Terms()
        nonlocal known
        known = known or KnownJobs(runs)
        place = Surroundings(runs, snapshot(), terms, settings.lease_dir)
        return look_ahead(launch.specs, place, launch.evaluate, known)

    return look


class OutlookLines(Static):
    """The checks of a launch, beyond the one in the verdict, and the forecast: what the job will take.

    The checks are repeated every AGAIN seconds, so the verdict changes when a missing file appears.
    """

    @dataclass
    class Looked(Message):
        """The launch was looked at; `found` is None where the look failed."""

        launch: Launch
        found: Outlook | None
        failure: str = ""

    def __init__(self, look: Look) -> None:
        super().__init__(id="form-outlook")
        self._look = look
        self._launch: Launch | None = None
        self._timer: Timer | None = None
        self._looking: Worker[None] | None = None
        self._answered = asyncio.Event()
        self._lines: list[str] = []
        self.found: Outlook | None = None
        """What the last look at this launch found; None before its answer, and where it failed."""

    @property
    def is_checking(self) -> bool:
        """Whether the first look at this launch has yet to answer."""
        return self._launch is not None and not self._answered.is_set()

    def on_mount(self) -> None:
        self.set_interval(AGAIN, self._look_again)

    def ask(self, launch: Launch | None) -> None:
        """Look at this launch, once it stays the same for a moment; None: there is nothing to say."""
        if launch == self._launch:
            return
        self._launch, self.found = launch, None
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
        """What the look at this launch found. Waits at most `within` seconds for it; None where it has not answered by
        then, or failed."""
        if self.is_checking:
            if self._timer is not None:
                self._timer.stop()
                self._look_now()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._answered.wait(), within)
        return self.found

    def _look_now(self) -> None:
        if self._launch is not None:
            self._timer, self._looking = None, self._look_at(self._launch)

    def _look_again(self) -> None:
        """Repeat the checks, unless a look is due or under way: on a hanging file server threads would pile up."""
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
        """Show what was found; the message goes on to the form, unless the form has changed since."""
        if message.launch != self._launch:
            message.stop()
            return
        self.found = message.found
        self._answered.set()
        self.remove_class("-old")
        self._show(short_lines(message.found) if message.found else [message.failure])

    def _show(self, lines: list[str]) -> None:
        if lines != self._lines:
            self._lines = lines
            self.update(Content("\n".join(map(clean, lines))))


def short_lines(outlook: Outlook) -> list[str]:
    """The failed checks and warnings, a line each, except the first failed check, which is the verdict; or the names of
    the passed checks on one line. Then the forecast."""
    wrong = [check for check in outlook.checks if check.sign != "✓" and check not in outlook.bad[:1]]
    if wrong or outlook.is_bad:
        return [*(f"{check.sign} {check.text}" for check in wrong), *outlook.forecast]
    well = dict.fromkeys(check.text.partition(":")[0] for check in outlook.checks)
    return [f"✓ {', '.join(well)}", *outlook.forecast]
