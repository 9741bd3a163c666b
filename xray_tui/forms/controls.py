"""Controls of a form. Each is one line high and shows its state in text as well as in colour.

Enter and Space open a list, choose in it and flip a switch; in a text field, Enter goes to the next field. Left and
right step through choices, up and down go to the neighbouring field.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

from rich.cells import cell_len
from rich.segment import Segment
from textual import events
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.message import Message
from textual.reactive import var
from textual.strip import Strip
from textual.suggester import SuggestFromList
from textual.widgets import Input, OptionList, Select, Static
from textual.widgets.option_list import Option

from xray_tui.forms.labels import Label, cut_front
from xray_tui.widgets.clean_input import CleanInput
from xray_tui.widgets.format import cut


def without(bindings: Iterable[BindingType], *keys: str) -> list[BindingType]:
    """The bindings, except those of `keys`."""
    return [binding for binding in bindings if not (isinstance(binding, Binding) and binding.key in keys)]


class TextField(CleanInput, inherit_bindings=False):
    BINDINGS: ClassVar[list[BindingType]] = without(Input.BINDINGS, "enter")

    def __init__(self, value: str, *, suggestions: Sequence[str] = (), placeholder: str = "") -> None:
        suggester = SuggestFromList(suggestions) if suggestions else None
        super().__init__(value, suggester=suggester, placeholder=placeholder)

    def render_line(self, y: int) -> Strip:
        width = self.content_size.width
        if self.has_focus or cell_len(self.value) <= width:
            return super().render_line(y)
        text = (cut_front if "/" in self.value else cut)(self.value, width)
        return Strip([Segment(text, self.rich_style)]).adjust_cell_length(width, self.rich_style)


class Choice(Select[Any], inherit_bindings=False):
    """Chooses one of a few values. An option is (label, value, remark shown in the open list)."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter,space", "show_overlay", "Choices", key_display="enter"),
        Binding("left", "step(-1)", "Previous", show=False),
        Binding("right", "step(1)", "Next", show=False),
    ]

    def __init__(self, options: Sequence[tuple[str, Any, str]], value: Any) -> None:
        self._order = [option[1] for option in options]
        names = [option[0] for option in options]
        shown = [(Label(label, names, remark), option) for label, option, remark in options]
        super().__init__(shown, value=value, allow_blank=False, compact=True)

    def action_step(self, by: int) -> None:
        """Choose a neighbouring option without opening the list; stops at both ends."""
        index = self._order.index(self.value) + by
        if 0 <= index < len(self._order):
            self.value = self._order[index]


class Toggle(Static, can_focus=True):
    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter,space,left,right", "toggle('value')", "Switch", show=False)]
    value: var[bool] = var(False, init=False)

    class Changed(Message):
        """The value has changed."""

    def __init__(self, value: bool) -> None:
        super().__init__()
        self.set_reactive(Toggle.value, value)

    def render(self) -> Content:
        return Content("[x] yes" if self.value else "[ ] no")

    def watch_value(self, value: bool) -> None:
        self.refresh()
        self.post_message(self.Changed())

    def on_click(self, event: events.Click) -> None:
        event.stop()
        self.value = not self.value


class Checklist(OptionList, inherit_bindings=False):
    """Chooses any number of names, with Enter or Space. Up and down leave the list at its ends."""

    BINDINGS: ClassVar[list[BindingType]] = [
        *without(OptionList.BINDINGS, "up", "down"),
        Binding("up", "move(-1)", "Up", show=False),
        Binding("down", "move(1)", "Down", show=False),
        Binding("space", "select", "Choose", show=False),
    ]

    class Changed(Message):
        """The chosen names have changed."""

    def __init__(self, names: Sequence[str], chosen: Sequence[str]) -> None:
        self.names = tuple(names)
        self._chosen = set(chosen)
        super().__init__(*(Option(self._prompt(name)) for name in self.names))

    @property
    def value(self) -> tuple[str, ...]:
        """The chosen names in the order of the list."""
        return tuple(name for name in self.names if name in self._chosen)

    @value.setter
    def value(self, names: Sequence[str]) -> None:
        self._chosen = set(names)
        for index, name in enumerate(self.names):
            self.replace_option_prompt_at_index(index, self._prompt(name))

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        self._chosen ^= {self.names[event.option_index]}
        self.replace_option_prompt_at_index(event.option_index, self._prompt(self.names[event.option_index]))
        self.post_message(self.Changed())

    def action_move(self, by: int) -> None:
        """Move to a neighbouring name, or out of the list at its ends."""
        index = (self.highlighted if self.highlighted is not None else -1) + by
        if 0 <= index < self.option_count:
            self.highlighted = index
        elif by < 0:
            self.screen.focus_previous()
        else:
            self.screen.focus_next()

    def _prompt(self, name: str) -> Label:
        return Label(name, self.names, mark="[x] " if name in self._chosen else "[ ] ")
