"""The keys that act on the job under the cursor."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from engine.contract.names import EVENTS, JOBS, LOG
from engine.contract.text import clean
from xray_tui.app import actions
from xray_tui.app.terminal_app import TerminalApp

if TYPE_CHECKING:
    from xray_tui.app.services import Services
    from xray_tui.jobs.model.job import Job
    from xray_tui.screens.dashboard import DashboardScreen
    from xray_tui.settings import Settings


class JobKeys(TerminalApp):
    """The part of the app that acts on jobs. What waits for files or locks runs in a background thread."""

    runs: Path | None
    settings: Settings
    services: Services
    _dashboard: DashboardScreen

    def action_stop_job(self) -> None:
        """Stop the selected job after a confirmation."""
        job = self._dashboard.jobs.job
        if job is None or job.state.ended:
            self.say("The job under the cursor has ended" if job else "There is no job to stop")
        else:
            self._ask_to_stop(job)

    def _ask_to_stop(self, job: Job) -> None:
        def answered(yes: bool | None) -> None:
            if yes:
                self._perform(actions.stop, job)

        self.push_screen(actions.stop_question(job), answered)

    def action_resume_job(self) -> None:
        """Resume the selected training."""
        self._perform(partial(actions.resume, settings=self.settings))

    def action_job_run(self) -> None:
        """Put the board's cursor on the run of the selected job."""
        board, job = self._dashboard.board, self._dashboard.jobs.job
        if job is None:
            self.say("There is no job under the cursor")
        elif job.spec.run in board.shown_runs:
            board.move_to(board.shown_runs.index(job.spec.run))
            board.focus()
        else:
            self.say(f"The board shows no result of {clean(job.spec.run)}")

    def action_open_log(self) -> None:
        """Show the whole visible log in a pager: that of the job, or the events of a run without one."""
        job, reading = self._dashboard.job, self._dashboard.reading
        path = Path(JOBS, job.id, LOG) if job else Path(reading[0], EVENTS) if reading else None
        self.show_in_pager(self.runs / path if path and self.runs else None, "There is no log to open")

    def action_hold_job(self) -> None:
        """Hold the selected job, or release it if it is held or blocked."""
        self._perform(actions.hold_or_release)

    def action_move_job(self, steps: int) -> None:
        """Move the selected job in the queue by `steps`: -1 is up, 1 is down."""
        self._perform(partial(actions.move, steps=steps))

    def _perform(self, action: actions.JobAction, job: Job | None = None) -> None:
        """Apply the action to this job, or to the selected one, in a background thread."""
        job = job or self._dashboard.jobs.job
        if job is None or self.runs is None:
            self.say("There is no job under the cursor")
        else:
            self.services.run_action(partial(actions.perform, action, job, self.runs))
