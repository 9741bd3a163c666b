"""The lines of a form that show the checks and the forecast of the launch."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from textual import work
from textual.content import Content
from textual.message import Message
from textual.widgets import Static
from textual.worker import Worker

from engine.contract.errors import BadInput
from engine.contract.text import clean
from xray_tui.gpu.snapshot import GpuSnapshot
from xray_tui.settings import Settings

if TYPE_CHECKING:
    from xray_tui.forms.options import Launch
    from xray_tui.jobs.preflight.estimate import PastJobs
    from xray_tui.jobs.preflight.preflight import Outlook

Preflight = Callable[["Launch"], "Outlook"]

AGAIN = 2.0
"""Interval in seconds between checks of the same launch; the later ones read only changed files."""


def make_preflight(runs: Path, settings: Settings, snapshot: Callable[[], GpuSnapshot]) -> Preflight:
    """A function that checks a launch with the last GPU snapshot and the settings. It blocks; call it in a thread."""
    known: PastJobs | None = None

    def preflight(launch: Launch) -> Outlook:
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

    return preflight


class PreflightLines(Static):
    """Shows the checks of a launch, except the one in the verdict, and the forecast.

    The checks are repeated every AGAIN seconds, so the verdict changes when a missing file appears.
    """

    class Checked(Message):
        """A check of the launch has ended."""

    def __init__(self, preflight: Preflight) -> None:
        super().__init__(id="form-outlook")
        self._preflight = preflight
        self._launch: Launch | None = None
        self._checking: Worker[None] | None = None
        self._answered = asyncio.Event()
        self._lines: list[str] = []
        self.outlook: Outlook | None = None
        """The result of the last check of this launch; None until the first has ended, or if it failed."""

    @property
    def is_checking(self) -> bool:
        """Whether the first check of this launch has not ended yet."""
        return self._launch is not None and not self._answered.is_set()

    def on_mount(self) -> None:
        self.set_interval(AGAIN, self._repeat)

    def ask(self, launch: Launch | None) -> None:
        """Check this launch. None clears the lines."""
        if launch == self._launch:
            return
        self._launch, self.outlook = launch, None
        self._answered.clear()
        if self._checking is not None:
            self._checking.cancel()
        if launch is not None:
            self.add_class("-old")
            self._checking = self._check(launch)
        else:
            self._show([])

    async def answer(self, within: float) -> Outlook | None:
        """Wait at most `within` seconds for the result of the check and return it; None if it is late or failed."""
        if self.is_checking:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._answered.wait(), within)
        return self.outlook

    def _repeat(self) -> None:
        """Repeat the checks unless one is still running, because threads would pile up on a hanging file server."""
        if self._launch is not None and self._checking is not None and self._checking.is_finished:
            self._checking = self._check(self._launch)

    @work(exclusive=True, group="form-outlook")
    async def _check(self, launch: Launch) -> None:
        try:
            self.outlook = await asyncio.to_thread(self._preflight, launch)
            lines = short_lines(self.outlook)
        except Exception as error:
            self.outlook, lines = None, [f"! could not check: {error}"]
        self._answered.set()
        self.remove_class("-old")
        self._show(lines)
        self.post_message(self.Checked())

    def _show(self, lines: list[str]) -> None:
        if lines != self._lines:
            self._lines = lines
            self.update(Content("\n".join(map(clean, lines))))


def short_lines(outlook: Outlook) -> list[str]:
    """The failed checks and warnings, one per line, or the names of the passed checks; then the forecast.

    The first failed check is left out, because the verdict shows it.
    """
    failed = [check for check in outlook.checks if check.sign != "✓" and check not in outlook.bad[:1]]
    if failed or outlook.is_bad:
        return [*(f"{check.sign} {check.text}" for check in failed), *outlook.forecast]
    passed = dict.fromkeys(check.text.partition(":")[0] for check in outlook.checks)
    return [f"✓ {', '.join(passed)}", *outlook.forecast]
