"""The key bar at the bottom, which shows as many of the active keys as fit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rich.cells import cell_len
from textual.strip import Strip
from textual.widget import Widget

from xray_tui.widgets.list_view import strip

Key = tuple[str, str]
"""The displayed key, and its label."""

ALWAYS = 2
"""Number of keys at the end (help and quit) that are always shown."""


class KeyBar(Widget):
    """Shows the keys of the active bindings. A single widget of one line is cheap to mount and to draw."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"keys--key", "keys--word"}

    def __init__(self, id: str | None = None) -> None:
        super().__init__(id=id)
        self._keys: tuple[Key, ...] = ()

    def on_mount(self) -> None:
        self.screen.bindings_updated_signal.subscribe(self, lambda _: self.read())
        self.read()

    def read(self) -> None:
        """Show the keys that are active now, without those of which the screen says that they cannot act."""
        from xray_tui.keymap import COMMANDS

        order = {command.id: index for index, command in enumerate(COMMANDS)}
        usable = getattr(self.screen, "usable", lambda action: True)
        shown: dict[str, Key] = {}
        for active in self.screen.active_bindings.values():
            binding = active.binding
            if binding.show and active.enabled and binding.id in order and usable(binding.action):
                key = self.app.get_key_display(binding), binding.description
                shown[binding.id] = min(shown.get(binding.id, key), key, key=lambda key: len(key[0]))  # q, not ^q
        keys = tuple(shown[name] for name in sorted(shown, key=order.__getitem__))
        if keys != self._keys:
            self._keys = keys
            self.refresh()

    def render_line(self, y: int) -> Strip:
        base = self.rich_style
        key_style = base + self.get_component_rich_style("keys--key", partial=True)
        word_style = base + self.get_component_rich_style("keys--word", partial=True)
        parts = []
        for key, word in fitting(self._keys, self.size.width):
            parts += [(f" {key}", key_style), (f" {word} ", word_style)]
        return strip(parts, self.size.width, base)


def fitting(keys: Sequence[Key], width: int) -> list[Key]:
    """The keys that fit into the width, in order; the last ALWAYS keys are never dropped."""
    first, always = list(keys[:-ALWAYS]), list(keys[-ALWAYS:])
    while first and sum(map(_cells, first + always)) > width:
        first.pop()
    return first + always


def _cells(key: Key) -> int:
    return cell_len(key[0]) + cell_len(key[1]) + 3
