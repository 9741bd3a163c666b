"""The forms for training, evaluation and blending: built from the config models, checked while typing.

F5 launches from any field, Enter from a text field. Enter also opens a list, chooses in an open list, and opens a
section. Up and down move between fields, space opens lists and flips switches, left and right step through choices.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, ClassVar

from textual import events, on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.css.query import NoMatches
from textual.message import Message
from textual.screen import ModalScreen
from textual.widgets import Button, Footer, Static
from textual.worker import Worker, WorkerState, get_current_worker

from engine.contract.text import clean
from xray_tui.forms.controls import Checklist
from xray_tui.forms.preflight_lines import Look, OutlookLines
from xray_tui.forms.row import NESTED, Fields, FormRow, FormSection, mount_some_at_a_time
from xray_tui.screens.confirm import ConfirmScreen
from xray_tui.system.login_session import this_session, why_it_would_end

if TYPE_CHECKING:
    from engine.contract.recipes import Recipe
    from xray_tui.forms.options import Launch, Plan
    from xray_tui.forms.request import Kind
    from xray_tui.forms.sources import Filling, Sources
    from xray_tui.forms.state import FormState
    from xray_tui.jobs.model.job import Job

CHECK_WITHIN = 1.0
"""Longest time in seconds that a launch waits for its checks."""
MOST_REASONS = 4
"""Number of failed checks in the question; more do not fit into a small terminal."""

TITLES: Mapping[str, str] = {"train": "Train a network", "evaluate": "Evaluate a run", "blend": "Blend runs"}


class CommandLine(VerticalScroll):
    """The command; focusable only if it is too long for its lines, so that it can be scrolled."""

    def allow_focus(self) -> bool:
        return super().allow_focus() and self.max_scroll_y > 0


class LaunchScreen(ModalScreen["Launch | None"]):
    """One form. Dismisses with the launch, which the caller submits, or with None.

    `current` is the run under the cursor and `marked` are the marked runs, as names below `runs`. `gpus` are (value of
    JobSpec.gpu, label) of the allowed GPUs; `gpu_limit` is the reason for the limit. `jobs` are the jobs of the runs
    folder. Without `recipes`, the form searches for recipes. `look` checks a launch; without it there are no checks.
    """

    CSS_PATH = "../styles/launch.tcss"
    covers = True
    """The form hides the dashboard, which can pause."""
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (110, "-wide-screen")]  # noqa: RUF012 (an instance variable to Textual)
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f5", "launch", "Launch", id="form.launch_anywhere"),
        Binding("escape", "cancel", "Cancel", id="form.cancel"),
        Binding("ctrl+s", "save", "Save as config", id="form.save"),
        Binding("enter", "launch", "Launch", show=False, id="form.launch"),
        Binding("down", "app.focus_next", "Next field", show=False, id="form.next"),
        Binding("up", "app.focus_previous", "Previous field", show=False, id="form.previous"),
    ]

    @dataclass
    class SourcesRead(Message):
        """The sources have been read; the form can be filled."""

        sources: Sources

    @dataclass
    class FillingRead(Message):
        """The values of another base have been read."""

        base: int
        filling: Filling

    def __init__(
        self,
        kind: Kind,
        *,
        runs: Path,
        current: str | None = None,
        marked: Sequence[str] = (),
        gpus: Sequence[tuple[str, str]] = (),
        gpu_limit: str = "",
        recipes: Sequence[Recipe] | None = None,
        look: Look | None = None,
        jobs: Sequence[Job] = (),
    ) -> None:
        super().__init__()
        self.kind: Kind = kind
        self.runs = runs
        self.current = current
        self.marked = tuple(marked)
        self.gpus = tuple(gpus)
        self._gpu_limit = gpu_limit
        self.jobs = tuple(job for job in jobs if job.readable and not job.state.ended)
        self._recipes = recipes
        self._outlook_lines = None if look is None else OutlookLines(look)
        self._cwd = Path.cwd()
        self._state: FormState | None = None
        self._checked: Plan | None = None
        self._reading = True
        """True until the fields exist or reading has failed."""
        self._filling = False
        self._would_end: str | None = None
        """The reason why the job would end with this login session."""
        self._verdict = ""
        """The displayed verdict, with its sign."""
        self._rows: dict[str, FormRow] = {}
        self._sections: tuple[FormSection, ...] = ()

    def compose(self) -> ComposeResult:
        yield Static(Content.assemble((TITLES[self.kind], "bold"), f"   in {clean(str(self.runs))}"), id="form-title")
        with Fields(id="form-fields"):
            yield Static(Content("reading recipes and runs …"), id="form-reading")
        with Vertical(id="form-foot"):
            yield Static(id="form-help")
            with Horizontal(id="form-verdict"):
                yield Button("Launch", id="form-launch", compact=True, disabled=True)
                yield Static(id="form-summary")
            with CommandLine(id="form-command"):
                yield Static(id="form-command-text")
            if self._outlook_lines is not None:
                yield self._outlook_lines
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        self._would_end = why_it_would_end(this_session())
        self.app.clear_notifications()  # they would cover the command
        self._read_sources()

    # Reading, in threads.

    @work(thread=True, exclusive=True, exit_on_error=False, group="form-sources")
    def _read_sources(self) -> None:
        # Imported in the thread, because the config models import pydantic, which would delay the start or a key.
        from xray_tui.forms import rows as launch_rows  # noqa: F401
        from xray_tui.forms import sources as launch_sources

        worker = get_current_worker()
        sources = launch_sources.read_sources(self.kind, self.runs, self.current, self._recipes, self._cwd)
        if not worker.is_cancelled:
            self.post_message(self.SourcesRead(sources))

    @work(thread=True, exclusive=True, exit_on_error=False, group="form-filling")
    def _read_filling(self, base: int, sources: Sources) -> None:
        from xray_tui.forms.sources import read_filling

        worker = get_current_worker()
        filling = read_filling(self.kind, sources.bases[base], self.runs, self._cwd)
        if not worker.is_cancelled:
            self.post_message(self.FillingRead(base, filling))

    @on(Worker.StateChanged)
    def _worker_ended(self, event: Worker.StateChanged) -> None:
        if event.state is WorkerState.ERROR:
            self._reading = False
            self._say(f"cannot read {self.runs}: {event.worker.error}", wrong=True)

    @on(SourcesRead)
    async def _sources_read(self, event: SourcesRead) -> None:
        from xray_tui.forms.state import FormState

        self._state = FormState(
            self.kind,
            self.runs,
            event.sources,
            self._cwd,
            current=self.current,
            marked=self.marked,
            gpus=len(self.gpus),
            jobs=self.jobs,
        )
        await self._make_rows(self._state)
        self._reading = False
        self.query_one("#form-launch", Button).disabled = False
        self._check()

    async def _make_rows(self, state: FormState) -> None:
        """Replace all rows and focus the first."""
        from xray_tui.forms.rows import rows

        fields = self.query_one(Fields)
        await fields.remove_children()
        widgets = list(rows(state, self.gpus, self.jobs, self._gpu_limit))
        await mount_some_at_a_time(fields, widgets)
        self._sections = tuple(widget for widget in widgets if isinstance(widget, FormSection))
        self._rows = {widget.key: widget for widget in widgets if isinstance(widget, FormRow)}
        self.set_focus(next(iter(self._rows.values())).control)  # at once, because held keys follow

    @on(FillingRead)
    async def _filling_read(self, event: FillingRead) -> None:
        state = self._state
        if state is None or event.base != state.base:  # the user has chosen another base since
            return
        old_schema = state.schema
        state.fill(event.base, event.filling)
        if state.schema != old_schema:
            await self._make_rows(state)
        else:
            self._show_filling(state)
        self._filling = False
        self._checked = None
        self._show_help()
        self._check()

    def _show_filling(self, state: FormState) -> None:
        """Show the values of another base in the existing rows."""
        from xray_tui.forms.rows import base_hint, members_hint

        for row in self._rows.values():
            if isinstance(row.control, Checklist):
                row.control.show_names(state.offered, state.members)
                row.show_hint(members_hint(state))
            else:
                row.show_raw(state.shown(row.key))
            if row.key == "base":
                row.show_hint(base_hint(state))

    # Typing.

    @property
    def holds_keys(self) -> bool:
        """True while the form or another base is read: keys typed now are for the fields it fills."""
        return self._reading or self._filling

    @on(FormRow.Changed)
    def _changed(self, event: FormRow.Changed) -> None:
        self._check()

    @on(FormSection.Opened)
    def _section_opened(self, event: FormSection.Opened) -> None:
        self._rows |= {row.key: row for row in event.section.query(FormRow)}
        self._show_states()

    def _check(self) -> Plan | None:
        """Read all fields, show the plan and return it; None while a base is read.

        Reads the controls rather than the messages of the fields, which may be older than the current values.
        """
        state = self._state
        if state is None or self._filling:
            return None
        changed = self._take(state)
        if not changed and self._checked is not None:
            return self._checked
        if "base" in changed:
            self._filling = True
            self._say("reading …", wrong=True)
            self._read_filling(state.base, state.sources)
            return None
        self._checked = checked = state.check()
        self.query_one("#form-command-text", Static).update(Content(checked.command))
        if self._outlook_lines is not None:
            self._outlook_lines.ask(None if checked.problems else checked.launch)
        self._show_states()
        self._show_verdict()
        return checked

    def _take(self, state: FormState) -> set[str]:
        """Copy the values of all fields into the state and return the keys that changed.

        A new run may change the proposed `after`: its field shows it, unless the user has changed that field too.
        """
        changed = set()
        for key, row in self._rows.items():
            before = state.wishes.after
            if state.give(key, row.control.raw):
                changed.add(key)
                after = self._rows.get("after")
                if key == "run" and after is not None and after.control.raw == before:
                    after.show_raw(state.wishes.after)
        return changed

    @on(OutlookLines.Looked)
    def _show_verdict(self) -> None:
        """Show the first problem of the fields, else the first failed check, else that the form is ready."""
        checked, lines = self._checked, self._outlook_lines
        if checked is None:
            return
        if checked.problems:
            self._say(self._first_problem(checked), wrong=True)
        elif lines is not None and lines.is_checking:
            self._say("checking data, weights and disk …", sign="…")
        elif lines is not None and lines.outlook is not None and lines.outlook.is_bad:
            first, *others = lines.outlook.bad
            self._say(first.text + (f" (and {len(others)} more)" if others else ""), wrong=True)
        else:
            self._say(self._ready(checked.launch), sign="!" if self._would_end else "✓")

    def _ready(self, launch: Launch) -> str:
        but = f", but {self._would_end}" if self._would_end else ""
        return " ".join(filter(None, ("ready: F5 launches", launch.words))) + but

    def _first_problem(self, checked: Plan) -> str:
        key, problem = next(iter(checked.problems.items()))
        more = len(checked.problems) - 1
        return f"{key}: {problem}" + (f" (and {more} more)" if more else "")

    def _show_states(self) -> None:
        state, checked = self._state, self._checked
        if state is None or checked is None:
            return
        for key, row in self._rows.items():
            row.show_state(checked.problems.get(key), key in checked.changed)
            on = not row.has_class(NESTED) or bool(state.raw.get(key.rpartition(".")[0], True))
            if row.display != on:
                row.display = on
        for section in self._sections:
            wrong = sum(key in checked.problems for key in section.keys)
            section.show_state(wrong, sum(key in checked.changed for key in section.keys))

    @on(events.DescendantFocus)
    def _show_help(self) -> None:
        """Show the help of the focused field, shortened to the available lines."""
        ancestors = self.focused.ancestors if self.focused else []
        row = next((node for node in ancestors if isinstance(node, FormRow)), None)
        section = next((node for node in ancestors if isinstance(node, FormSection)), None)
        text = row.help if row else f"{section.section}: enter or space opens or closes" if section else ""
        widget = self.query_one("#form-help", Static)
        size = widget.content_size
        lines = wrap(clean(text), max(20, size.width), max_lines=max(1, size.height), placeholder=" …")
        widget.update(Content("\n".join(lines)))

    # Leaving.

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Disable save for an evaluation: the engine reads no config for it."""
        return not (action == "save" and self.kind == "evaluate")

    def action_cancel(self) -> None:
        """Close the form without a launch."""
        self.dismiss(None)

    @on(Button.Pressed, "#form-launch")
    async def action_launch(self) -> None:
        """Launch, or show the first problem and go to its field."""
        state, checked = self._state, self._check()
        if state is None or checked is None:
            self._say("not launched: files are still being read", wrong=True)
        elif checked.problems:
            self._say(f"not launched: {self._first_problem(checked)}", wrong=True)
            await self._go_to(next(iter(checked.problems)))
        else:
            await self._launch(checked.launch)

    async def _launch(self, launch: Launch) -> None:
        """Launch; ask first if a check has failed.

        Waits for running checks, but at most CHECK_WITHIN seconds: a hanging file server must not prevent a launch, and
        the job itself reports missing files. Keys pressed during the wait take effect after it.
        """
        outlook = await self._outlook_lines.answer(within=CHECK_WITHIN) if self._outlook_lines is not None else None
        if not self.is_active:  # the first of two clicks has already launched or asked
            return
        if outlook is None or not outlook.is_bad:
            self.dismiss(launch)
            return

        def answered(yes: bool | None) -> None:
            if yes:
                self.dismiss(launch)

        failed = [f"{check.sign} {check.text}" for check in outlook.bad[:MOST_REASONS]]
        failed += [f"and {len(outlook.bad) - MOST_REASONS} more"] if len(outlook.bad) > MOST_REASONS else []
        question = ConfirmScreen("Launch although the job would fail?", "\n".join(failed), "launch", "back to the form")
        self.app.push_screen(question, answered)

    async def action_save(self) -> None:
        """Ask for a file and save the values there as a config."""
        from xray_tui.forms.request import path_argument, to_config
        from xray_tui.forms.save_dialog import SaveScreen

        state, checked = self._state, self._check()
        if state is None or checked is None:
            return
        wrong = next((key for key in checked.problems if key in state.fields), None)
        if wrong is not None:
            self._say(f"not saved: {wrong}: {checked.problems[wrong]}", wrong=True)
            await self._go_to(wrong)
            return
        from engine.contract.load import save_config

        config = to_config(state.draft(), state.schema, self._cwd)
        proposed = path_argument(state.config_file(), self._cwd)
        self.app.push_screen(SaveScreen(proposed, lambda path: save_config(config, path)), self._saved)

    def _saved(self, path: Path | None) -> None:
        if path is not None:
            self.notify(f"Saved {clean(str(path))}", markup=False)

    async def _go_to(self, key: str) -> None:
        """Focus the field of this key, and open its section."""
        for section in self._sections:
            if key in section.keys:
                section.collapsed = False
                await section.make_rows()
                self._rows |= {row.key: row for row in section.query(FormRow)}
        if key in self._rows:
            self._rows[key].control.focus()

    def _say(self, line: str, *, sign: str = "✓", wrong: bool = False) -> None:
        try:
            summary = self.query_one("#form-summary", Static)
        except NoMatches:  # the screen is closing
            return
        verdict = f"{'✗' if wrong else sign} {clean(line)}"
        if verdict != self._verdict:
            self._verdict = verdict
            summary.update(Content(verdict))
            summary.set_class(wrong, "-wrong")
            summary.set_class(sign == "…", "-checking")
