"""The forms for training, evaluation and blending: made from the config models, checked while typing.

F5 launches from anywhere, and Enter from a text field. On a list Enter opens it, in an open list it chooses, and on a
section's line it opens the section. Up and down go from field to field, space opens lists and flips switches, left and
right step through choices.
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
"""Seconds that a launch waits for a check that has not answered yet."""
MOST_REASONS = 4
"""Failed checks that the question lists; more would not fit into a small terminal."""

TITLES: Mapping[str, str] = {"train": "Train a network", "evaluate": "Evaluate a run", "blend": "Blend runs"}


class CommandLine(VerticalScroll):
    """The command; it takes the focus only where it is too long to be seen whole."""

    def allow_focus(self) -> bool:
        return super().allow_focus() and self.max_scroll_y > 0


class LaunchScreen(ModalScreen["Launch | None"]):
    """One form. Dismisses with what is to be launched, by `launch_all` (that is the caller's), or with None.

    `current` is the run under the cursor and `marked` the marked ones, as names below `runs`; `gpus` are (value of
    JobSpec.gpu, what to show) of those that it may take, `gpu_limit` says why these alone, `jobs` are those of the runs
    folder. Recipes are looked for where none are given. `look` finds out what can be said of a launch before it.
    """

    CSS_PATH = "../styles/launch.tcss"
    covers = True
    """Nobody looks at the dashboard meanwhile."""
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
        """What the disk says; the form can be filled."""

        sources: Sources

    @dataclass
    class FillingRead(Message):
        """The values of another base."""

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
        self._outlook = None if look is None else OutlookLines(look)
        self._cwd = Path.cwd()
        self._state: FormState | None = None
        self._checked: Plan | None = None
        self._reading = True
        """Until the fields are there, or cannot be made."""
        self._filling = False
        self._would_end: str | None = None
        """Why the job would not outlive this session."""
        self._verdict = ""
        """The shown verdict, with its sign."""
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
            if self._outlook is not None:
                yield self._outlook
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        self._would_end = why_it_would_end(this_session())
        self.app.clear_notifications()  # they were about something else, and lie over the command
        self._read_sources()

    # Reading, in threads.

    @work(thread=True, exclusive=True, exit_on_error=False, group="form-sources")
    def _read_sources(self) -> None:
        # The config models come with pydantic: imported here, so that neither the app's start nor a key waits for it.
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
        """All rows anew, the first one focused."""
        from xray_tui.forms.rows import rows

        fields = self.query_one(Fields)
        await fields.remove_children()
        widgets = list(rows(state, self.gpus, self.jobs, self._gpu_limit))
        await mount_some_at_a_time(fields, widgets)
        self._sections = tuple(widget for widget in widgets if isinstance(widget, FormSection))
        self._rows = {widget.key: widget for widget in widgets if isinstance(widget, FormRow)}
        self.set_focus(next(iter(self._rows.values())).control)  # at once: keys that were held go there

    @on(FillingRead)
    async def _filling_read(self, event: FillingRead) -> None:
        state = self._state
        if state is None or event.base != state.base:  # another one was chosen since
            return
        before = state.schema
        state.fill(event.base, event.filling)
        if state.schema != before:
            await self._make_rows(state)
        else:
            self._show_filling(state)
        self._filling = False
        self._checked = None
        self._show_help()
        self._check()

    def _show_filling(self, state: FormState) -> None:
        """The values of another base in the rows that there are."""
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
        """While the form or another base is read: what would be typed now belongs to what it fills in."""
        return self._reading or self._filling

    @on(FormRow.Changed)
    def _changed(self, event: FormRow.Changed) -> None:
        self._check()

    @on(FormSection.Opened)
    def _section_opened(self, event: FormSection.Opened) -> None:
        self._rows |= {row.key: row for row in event.section.query(FormRow)}
        self._show_states()

    def _check(self) -> Plan | None:
        """Read what stands in the fields now, show what comes of it, and return that; None while a base is read.

        The messages of the fields only say that something has changed. What they say of it may be older than the field.
        """
        state = self._state
        if state is None or self._filling:
            return None
        given = self._take(state)
        if not given and self._checked is not None:
            return self._checked
        if "base" in given:
            self._filling = True
            self._say("reading …", wrong=True)
            self._read_filling(state.base, state.sources)
            return None
        self._checked = checked = state.check()
        self.query_one("#form-command-text", Static).update(Content(checked.command))
        if self._outlook is not None:
            self._outlook.ask(None if checked.problems else checked.launch)
        self._show_states()
        self._show_verdict()
        return checked

    def _take(self, state: FormState) -> set[str]:
        """Give the state what stands in the fields; the keys of what has changed. What follows from that is shown,
        unless the user has changed it as well."""
        given = set()
        for key, row in self._rows.items():
            before = state.wishes.after
            if state.give(key, row.control.raw):
                given.add(key)
                after = self._rows.get("after")
                if key == "run" and after is not None and after.control.raw == before:
                    after.show_raw(state.wishes.after)
        return given

    @on(OutlookLines.Looked)
    def _show_verdict(self) -> None:
        """The first problem of the fields, else the first failed check, else ready."""
        checked, outlook = self._checked, self._outlook
        if checked is None:
            return
        if checked.problems:
            self._say(self._first_problem(checked), wrong=True)
        elif outlook is not None and outlook.is_checking:
            self._say("checking data, weights and disk …", sign="…")
        elif outlook is not None and outlook.found is not None and outlook.found.is_bad:
            first, *others = outlook.found.bad
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
        """All that there is to say about the focused field, as far as it has room."""
        above = self.focused.ancestors if self.focused else []
        row = next((node for node in above if isinstance(node, FormRow)), None)
        section = next((node for node in above if isinstance(node, FormSection)), None)
        text = row.help if row else f"{section.section}: enter or space opens or closes" if section else ""
        place = self.query_one("#form-help", Static)
        size = place.content_size
        lines = wrap(clean(text), max(20, size.width), max_lines=max(1, size.height), placeholder=" …")
        place.update(Content("\n".join(lines)))

    # Leaving.

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """An evaluation is all in its command: the engine takes no config for one."""
        return not (action == "save" and self.kind == "evaluate")

    def action_cancel(self) -> None:
        """Leave, with nothing to launch."""
        self.dismiss(None)

    @on(Button.Pressed, "#form-launch")
    async def action_launch(self) -> None:
        """Leave with the launch, or say why not and go to the field that is wrong."""
        state, checked = self._state, self._check()
        if state is None or checked is None:
            self._say("not launched: files are still being read", wrong=True)
        elif checked.problems:
            self._say(f"not launched: {self._first_problem(checked)}", wrong=True)
            await self._go_to(next(iter(checked.problems)))
        else:
            await self._launch(checked.launch)

    async def _launch(self, launch: Launch) -> None:
        """Leave with the launch; ask first if a check has failed.

        Checks that have not answered yet are waited for, but only for CHECK_WITHIN: a hanging file server must not
        prevent a launch, and the job itself reports what is missing. Keys pressed during the wait take effect after it.
        """
        found = await self._outlook.answer(within=CHECK_WITHIN) if self._outlook is not None else None
        if not self.is_active:  # a second click on the button, handled after the first has launched or asked
            return
        if found is None or not found.is_bad:
            self.dismiss(launch)
            return

        def answered(yes: bool | None) -> None:
            if yes:
                self.dismiss(launch)

        failed = [f"{check.sign} {check.text}" for check in found.bad[:MOST_REASONS]]
        failed += [f"and {len(found.bad) - MOST_REASONS} more"] if len(found.bad) > MOST_REASONS else []
        question = ConfirmScreen("Launch although the job would fail?", "\n".join(failed), "launch", "back to the form")
        self.app.push_screen(question, answered)

    async def action_save(self) -> None:
        """Ask for a file, and write the values there as a config."""
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
        """Focus the field of that key, opening its section."""
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
        except NoMatches:  # the screen is going
            return
        verdict = f"{'✗' if wrong else sign} {clean(line)}"
        if verdict != self._verdict:
            self._verdict = verdict
            summary.update(Content(verdict))
            summary.set_class(wrong, "-wrong")
            summary.set_class(sign == "…", "-checking")
