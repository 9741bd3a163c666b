"""The forms for training, evaluation and blending, built from the config models and checked while the user types.

The command and the help line follow each key at once; the values are validated after a short pause, and before a
launch. F5 launches from any field, Enter on the line Launch; Enter also opens a list or a section.
"""

from __future__ import annotations

from asyncio import to_thread
from collections.abc import Iterable, Mapping
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, ClassVar

from textual import events, on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.reactive import Reactive
from textual.screen import ModalScreen
from textual.widget import Widget
from textual.widgets import Button, Input, Select, Static

from engine.contract.text import clean
from xray_tui.forms.context import FormContext, Kind
from xray_tui.forms.controls import Choice, Toggle
from xray_tui.forms.fields import sentence
from xray_tui.forms.labels import cut_front
from xray_tui.forms.preflight_lines import Preflight, PreflightLines
from xray_tui.forms.row import NESTED, CommandLine, Fields, FormRow, FormSection, mount_some_at_a_time
from xray_tui.keymap import bindings
from xray_tui.screens.confirm import ConfirmScreen
from xray_tui.system.login_session import this_session, why_it_would_end
from xray_tui.widgets.format import cells
from xray_tui.widgets.key_bar import KeyBar

if TYPE_CHECKING:
    from textual.timer import Timer

    from xray_tui.forms.options import Launch, Plan
    from xray_tui.forms.state import FormState

QUIET = 0.15
"""Seconds without a change after which the values are validated."""
CHECK_WITHIN = 1.0
"""Longest time in seconds that a launch waits for its checks."""
MOST_REASONS = 4
"""Maximum number of failed checks in the question; more would not fit into a small terminal."""

MOST_JOBS = 8
"""Maximum number of jobs that are launched without a question."""

TITLES: Mapping[Kind, str] = {"train": "Train a network", "evaluate": "Evaluate a run", "blend": "Blend runs"}


class LaunchScreen(ModalScreen["Launch | None"]):
    """One form. Dismisses with the launch, which the caller submits, or with None.

    `preflight` checks a launch; without it there are no checks.
    """

    CSS_PATH = "../styles/launch.tcss"
    focused: Reactive[Widget | None] = Reactive(None, repaint=False)
    """Does not repaint the whole screen for each move; the two fields repaint themselves."""
    covers = True
    """Whether the screen hides the dashboard."""
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (110, "-wide-screen")]  # noqa: RUF012 (an instance variable to Textual)
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("form")]

    def __init__(self, context: FormContext, preflight: Preflight | None = None) -> None:
        super().__init__()
        self.context = context
        self.holds_keys = True
        """True while the form or another base is being read; keys typed meanwhile are for the fields that it fills."""
        self._checks = None if preflight is None else PreflightLines(preflight)
        self._state: FormState | None = None
        self._plan: Plan | None = None
        """The validated values; None after a change, until the values are validated again."""
        self._check_later: Timer | None = None
        self._would_end = why_it_would_end(this_session())
        """The reason why the job would end with this login session, or None."""
        self._verdict = ""

    def compose(self) -> ComposeResult:
        yield Static(id="form-title")
        with Fields(id="form-fields"):
            yield Static(Content("reading recipes and runs …"), id="form-reading")
        with Vertical(id="form-foot"):
            yield Static(id="form-help")
            with Horizontal(id="form-verdict"):
                yield Button("Launch", id="form-launch", compact=True, disabled=True)
                yield Static(id="form-summary")
            with CommandLine(id="form-command"):
                yield Static(id="form-command-text")
            if self._checks is not None:
                yield self._checks
        yield KeyBar()

    def on_mount(self) -> None:
        self.app.clear_notifications()  # they would cover the command
        self._read()

    @work(exclusive=True, group="form-reading")
    async def _read(self) -> None:
        """Read the sources, or the base that the user has chosen, and show its values."""
        try:
            if self._state is None:
                self._state = await to_thread(_read_state, self.context)
                await self._make_rows(self._state)
            else:
                from xray_tui.forms.sources import read_filling

                base, schema = self._state.raw["base"], self._state.filling.schema
                filling = await to_thread(read_filling, self.context, self._state.sources.bases[base])
                self._state.fill(base, filling)
                if filling.schema == schema and self.context.kind == "train":
                    self._show_values(self._state)
                else:
                    await self._make_rows(self._state)
        except Exception as error:
            self._state = None
            self._say(f"cannot read {self.context.runs}: {error}", "✗")
        if not self._is_open:
            return
        self.query_one("#form-launch", Button).disabled = self._state is None
        self.holds_keys, self._plan = False, None
        self._check()

    async def _make_rows(self, state: FormState) -> None:
        """Replace all rows and focus the first."""
        from xray_tui.forms.rows import rows

        fields = self.query_one(Fields)
        await fields.remove_children()
        await mount_some_at_a_time(fields, rows(state))
        self.set_focus(self.query(FormRow).first().control)  # at once, because held keys are handled next

    def _show_values(self, state: FormState) -> None:
        """Show the values of another base in the existing rows, which is faster than making new ones."""
        with self.prevent(Input.Changed, Select.Changed, Toggle.Changed):
            for key, row in self._rows.items():
                row.control.value = state.raw[key]
                if key == "base":
                    row.help = f"recipe: {sentence(state.base_hint)}"
        self._show_help()

    @property
    def _rows(self) -> dict[str, FormRow]:
        """Maps field keys to rows, without the fields of sections that have not been opened yet."""
        return {row.key: row for row in self.query(FormRow)}

    @on(FormRow.Changed)
    def _edited(self, event: FormRow.Changed) -> None:
        """Show the command of the new values at once, and validate them after QUIET seconds without a change."""
        state = self._state
        if state is None or self.holds_keys or not self._take(state, [event.row]) or self.holds_keys:
            return
        self._plan = None
        self._show_command(state.command())
        if self._check_later is not None:
            self._check_later.stop()
        self._check_later = self.set_timer(QUIET, self._check)

    def _check(self) -> Plan | None:
        """Validate all fields, show the plan and return it; return None while a base is being read.

        Reads the controls, because the messages of the fields may be older than the current values.
        """
        state, self._check_later = self._state, None
        if state is None or self.holds_keys or not self._is_open:
            return None
        if not self._take(state, self.query(FormRow)) and self._plan is not None:
            return self._plan
        if self.holds_keys:
            return None
        self._plan = plan = state.check()
        self._show_command(plan.command)
        self._show_title()
        if self._checks is not None:
            self._checks.ask(None if plan.problems else plan.launch)
        self._show_states()
        self._show_verdict()
        return plan

    @on(events.Resize)
    def _show_title(self) -> None:
        """Show what the values start from, and the runs folder without the front for which there is no room."""
        title = TITLES[self.context.kind]
        origin = clean(self._state.origin) if self._state else ""
        runs = cut_front(clean(str(self.context.runs)), max(12, self.size.width - len(title) - cells(origin) - 10))
        line = Content.assemble((title, "bold"), origin, f"   in {runs}")
        self.query_one("#form-title", Static).update(line, layout=False)

    def _show_command(self, command: str) -> None:
        text = self.query_one("#form-command-text", Static)
        text.update(Content(command), layout=False)
        if text.visual.get_height({}, text.size.width) != text.size.height:
            text.refresh(layout=True)  # costs ten times as much as drawing the text

    def _take(self, state: FormState, rows: Iterable[FormRow]) -> bool:
        """Copy the values of these rows into the state, start to read a new base, and return whether any changed.

        A new run may change the proposed `after`, which its field then shows unless the user has changed it too.
        """
        changed = set()
        for row in rows:
            before = state.raw["after"]
            if state.update(row.key, row.control.value):
                changed.add(row.key)
                after = self._rows["after"].control if row.key == "run" and "after" in self._rows else None
                if isinstance(after, Choice) and after.value == before:
                    after.value = state.raw["after"]
        if "base" in changed:
            self.holds_keys = True
            self._say("reading …", "✗")
            self._read()
        return bool(changed)

    @on(PreflightLines.Checked)
    def _show_verdict(self) -> None:
        """Show the first problem of the fields; if there is none, the state of the checks or that the form is ready."""
        plan, checks = self._plan, self._checks
        if plan is None:
            return
        if plan.problems:
            self._say(plan.first_problem, "✗")
        elif checks is not None and checks.is_checking:
            self._say("checking data, weights and disk …", "…")
        elif checks is not None and checks.outlook is not None and checks.outlook.is_bad:
            first, *others = checks.outlook.bad
            self._say(first.text + (f" (and {len(others)} more)" if others else ""), "✗")
        else:
            ready = " ".join(filter(None, ("ready: F5 launches", plan.launch.words)))
            self._say(f"{ready}, but {self._would_end}" if self._would_end else ready, "!" if self._would_end else "✓")

    @on(FormSection.Expanded)
    def _show_states(self) -> None:
        state, plan = self._state, self._plan
        if state is None or plan is None:
            return
        for key, row in self._rows.items():
            row.show_state(plan.problems.get(key), key in plan.changed)
            if row.has_class(NESTED):
                row.display = bool(state.raw.get(key.rpartition(".")[0], True))
        for section in self.query(FormSection):
            wrong = sum(key in plan.problems for key in section.keys)
            section.show_state(wrong, sum(key in plan.changed for key in section.keys))

    @property
    def _focused_field(self) -> FormRow | FormSection | None:
        ancestors = self.focused.ancestors if self.focused else []
        return next((node for node in ancestors if isinstance(node, FormRow | FormSection)), None)

    @on(events.DescendantFocus)
    def _show_help(self) -> None:
        """Show the help of the focused field, shortened to the available lines."""
        field = self._focused_field
        text = field.help if field else ""
        widget = self.query_one("#form-help", Static)
        size = widget.content_size
        lines = wrap(clean(text), max(20, size.width), max_lines=max(1, size.height), placeholder=" …")
        widget.update(Content("\n".join(lines)), layout=False)

    @property
    def _is_open(self) -> bool:
        """False once the form closes: its widgets go one by one, and a worker that still runs may not find them."""
        return self.is_attached and self in self.app.screen_stack

    def _say(self, line: str, sign: str) -> None:
        verdict = f"{sign} {clean(line)}"
        if verdict != self._verdict:
            self._verdict = verdict
            for summary in self.query("#form-summary").results(Static):  # none while the screen closes
                summary.update(Content(verdict))
                summary.set_class(sign == "✗", "-wrong")
                summary.set_class(sign == "…", "-checking")

    def action_field_help(self) -> None:
        """Show everything about the focused field."""
        from xray_tui.screens.text_screen import TextScreen, wrapped

        if (field := self._focused_field) is not None:
            self.app.push_screen(TextScreen("Field help", wrapped(clean(field.help), more="")))

    def action_reset(self) -> None:
        """Show the values of the recipe or run again."""
        if self._state is not None and not self.holds_keys:
            self._state.reset()
            self._show_values(self._state)
            self._plan = None
            self._check()

    def action_leave(self) -> None:
        """Leave the form, and keep its values as a draft."""
        if self._state is not None and not self.holds_keys:
            self._take(self._state, self.query(FormRow))
            self._state.keep_draft()
        self.dismiss(None)

    def _leave_with(self, launch: Launch) -> None:
        if self._state is not None:
            self._state.reset()
        self.dismiss(launch)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Disable saving for an evaluation, because the engine reads no config for it."""
        return not (action == "save" and self.context.kind == "evaluate")

    @on(Button.Pressed, "#form-launch")
    async def action_launch(self) -> None:
        """Launch, or show the first problem and go to its field."""
        plan = self._check()
        if plan is None:
            self._say("not launched: files are still being read", "✗")
        elif plan.problems:
            self._say(f"not launched: {plan.first_problem}", "✗")
            await self._go_to(next(iter(plan.problems)))
        else:
            await self._launch(plan.launch)

    async def _launch(self, launch: Launch) -> None:
        """Launch; ask first if a check has failed or there are more than MOST_JOBS jobs.

        Waits for running checks, but at most CHECK_WITHIN seconds, because a hanging file server must not prevent a
        launch and the job itself reports missing files. Keys pressed during the wait take effect after it.
        """
        outlook = await self._checks.answer(within=CHECK_WITHIN) if self._checks is not None else None
        if not self.is_active:  # the first of two clicks has already launched or asked
            return
        bad = outlook.bad if outlook is not None else ()
        count = len(launch.specs) * (2 if launch.evaluate else 1)
        if not bad and count <= MOST_JOBS:
            self._leave_with(launch)
            return

        def answered(yes: bool | None) -> None:
            if yes:
                self._leave_with(launch)

        question = f"Launch {f'{count} jobs' if count > MOST_JOBS else 'although the job would fail'}?"
        reasons = [f"{check.sign} {check.text}" for check in bad[:MOST_REASONS]]
        reasons += [f"and {len(bad) - MOST_REASONS} more"] if len(bad) > MOST_REASONS else []
        text = "\n".join(map(clean, reasons)) or launch.words
        self.app.push_screen(ConfirmScreen(question, text, "launch", "back to the form"), answered)

    async def action_save(self) -> None:
        """Ask for a file and save the values there as a config."""
        state, plan = self._state, self._check()
        if state is None or plan is None:
            return
        wrong = next((key for key in plan.problems if key in state.fields), None)
        if wrong is not None:
            self._say(f"not saved: {wrong}: {plan.problems[wrong]}", "✗")
            await self._go_to(wrong)
            return
        from engine.contract.load import save_config
        from xray_tui.forms.request import path_argument, to_config
        from xray_tui.forms.save_dialog import SaveScreen

        config = to_config(state.draft(), self.context.cwd)
        proposed = path_argument(state.config_file(), self.context.cwd)
        self.app.push_screen(SaveScreen(proposed, lambda path: save_config(config, path)), self._saved)

    def _saved(self, path: Path | None) -> None:
        if path is not None:
            self.notify(f"Saved {clean(str(path))}", markup=False)

    async def _go_to(self, key: str) -> None:
        """Focus the field of this key, and open its section."""
        for section in self.query(FormSection):
            if key in section.keys:
                section.collapsed = False
                await section.make_rows()
        self._show_states()
        if row := self._rows.get(key):
            row.control.focus()


def _read_state(context: FormContext) -> FormState:
    # Imported in a thread, because the config models import pydantic, which would delay the start or a key.
    from xray_tui.forms import rows, sources, state  # noqa: F401

    return state.FormState(context, sources.read_sources(context))
