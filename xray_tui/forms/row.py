"""Rows of a form (a label, a control, a hint, the problem below them) and its sections."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Collapsible, Input, Select, Static

from engine.contract.text import clean
from xray_tui.forms.controls import Checklist, Choice, TextField, Toggle
from xray_tui.forms.fields import sentence

NESTED = "-nested"
"""CSS class of the rows of an optional section."""

GROUP = 3
"""Number of rows mounted at once."""

Control = TextField | Choice | Toggle | Checklist


class Fields(VerticalScroll, can_focus=False, inherit_bindings=False):
    """The scrollable part of a form. Arrow keys do not scroll it, because they move between the fields."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("pageup", "page_up", "Page up", show=False),
        Binding("pagedown", "page_down", "Page down", show=False),
    ]

    def on_resize(self) -> None:
        """Keep the focused field visible when the widgets below need more lines."""
        focused = self.screen.focused
        if focused is not None and self in focused.ancestors:
            self.scroll_to_widget(focused, animate=False)


class CommandLine(VerticalScroll):
    """Shows the command. It can be focused, for scrolling, only if it is too long for its lines."""

    def allow_focus(self) -> bool:
        return super().allow_focus() and self.max_scroll_y > 0


class FormRow(Horizontal):
    """One field. `key` names it in messages; `help` is the long hint for the help line and the field help."""

    class Changed(Message):
        """The user has changed the value. Read it from `row.control.value`, which may be newer than the message."""

        def __init__(self, row: FormRow) -> None:
            super().__init__()
            self.row = row

    def __init__(
        self, key: str, label: str, control: Control, hint: str = "", *, help: str = "", wide: bool = False
    ) -> None:
        """`wide` also gives the control the space of the hint."""
        super().__init__(classes="form-row -wide" if wide else "form-row")
        self.key = key
        self.control = control
        self.help = help or f"{label}: {sentence(hint)}"
        self._label = label
        self._hint = hint
        self._problem: Static | None = None
        self._state: tuple[str | None, bool] = (None, False)

    def compose(self) -> ComposeResult:
        yield Static(Content(f"  {clean(self._label)}"), classes="form-label")
        yield self.control
        yield Static(Content(clean(self._hint)), classes="form-hint")

    def show_state(self, problem: str | None, changed: bool) -> None:
        """Show the problem on a line below the row, and mark the label of a changed value."""
        if (problem, changed) == self._state:
            return
        self._state = (problem, changed)
        self.set_class(problem is not None, "-wrong")
        mark = "✗" if problem else "•" if changed else " "
        self.query_one(".form-label", Static).update(Content(f"{mark} {clean(self._label)}"))
        if problem is not None and self._problem is None:
            self._problem = Static(classes="form-problem")
            assert isinstance(self.parent, Widget)
            self.parent.mount(self._problem, after=self)
        if self._problem is not None:
            self._problem.update(Content(clean(problem or "")))
            self._problem.display = problem is not None

    # Not the CSS selector :focus-within: Textual leaves it on the label when the focus moves to another field.
    @on(events.DescendantFocus)
    @on(events.DescendantBlur)
    def _focus_moved(self, event: events.DescendantFocus | events.DescendantBlur) -> None:
        self.query_one(".form-label").set_class(isinstance(event, events.DescendantFocus), "-focused")

    @on(Input.Changed)
    @on(Select.Changed)
    @on(Toggle.Changed)
    @on(Checklist.Changed)
    def _value_changed(self, event: Message) -> None:
        event.stop()
        self.post_message(self.Changed(self))


class FormSection(Collapsible):
    """Fields that are seldom set. The rows are created when it is first opened; creating all at once takes too long."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("space", "toggle('collapsed')", "Open or close", show=False)]

    def __init__(self, name: str, keys: Iterable[str], rows: Callable[[], Iterable[FormRow]]) -> None:
        super().__init__(title="", collapsed_symbol="▸", expanded_symbol="▾", classes="form-section")
        self.section = name
        self.help = f"{name}: Enter or space opens or closes the section."
        self.keys = tuple(keys)
        self._rows: Callable[[], Iterable[FormRow]] | None = rows
        self._state = (-1, -1)

    def show_state(self, problems: int, changed: int) -> None:
        """Show the number of changes and problems, and the names of the fields, in the section's line."""
        if (problems, changed) == self._state:
            return
        self._state = (problems, changed)
        parts: list[str | tuple[str, str]] = [(f"{self.section:<10} ", "bold")]
        if changed:
            parts.append(f"{changed} changed · ")
        if problems:
            parts += [(f"✗ {problems} wrong", "$text-error"), " · "]
        parts.append(", ".join(dict.fromkeys(key.rpartition(".")[2] for key in self.keys)))
        self._title.label = Content.assemble(*parts)

    async def make_rows(self) -> None:
        """Mount the rows unless they exist."""
        if self._rows is not None:
            rows, self._rows = self._rows, None
            await mount_some_at_a_time(self.query_one(self.Contents), rows())

    @on(Collapsible.Expanded)
    async def _expanded(self) -> None:
        await self.make_rows()


async def mount_some_at_a_time(parent: Widget, widgets: Iterable[Widget]) -> None:
    """Mount the widgets in small groups, so that a key waits for one group at most. They appear together."""
    pending = list(widgets)
    with parent.app.batch_update():
        for start in range(0, len(pending), GROUP):
            await parent.mount_all(pending[start : start + GROUP])
