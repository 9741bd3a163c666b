"""Keys act one after the other, however fast they come.

Textual hands a key to the widget that has the focus when it arrives, and what is bound to it runs only after the key
has bubbled up to the app: of `ctrl+u` and `4`, sent at once, the `4` comes first, and after `down` it lands in the
field that is being left. Slow links deliver keys in such bursts.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from typing import ClassVar, TypeVar

from textual import events
from textual.app import App
from textual.message_pump import MessagePump
from textual.screen import Screen

Result = TypeVar("Result")
LOOK_AGAIN = 0.02
"""Seconds between two looks at a widget that may have gone, or at a screen that keeps keys waiting."""


class KeysInOrder(App[Result]):
    """An app in which a key is handed on when the one before has done all that it does."""

    NOT_HELD: ClassVar[frozenset[str]] = frozenset({"escape", "ctrl+q", "ctrl+c"})
    """Keys that drop those which a screen keeps waiting."""

    _typed: deque[events.Key | events.Paste]
    acting = False
    """Whether a key is still at work."""

    async def on_event(self, event: events.Event) -> None:
        if not isinstance(event, events.Key | events.Paste) or event.is_forwarded:
            await super().on_event(event)
            return
        if not self.acting:
            self.acting, self._typed = True, deque([event])
            self.run_worker(self._act(), group="keys")
        else:
            if isinstance(event, events.Key) and event.key in self.NOT_HELD and holds_keys(self.screen):
                self._typed.clear()
            self._typed.append(event)

    async def _act(self) -> None:
        """Hand on what was typed, until there is nothing left."""
        try:
            while self._typed:
                event = self._typed.popleft()
                if holds_keys(self.screen) and not (isinstance(event, events.Key) and event.key in self.NOT_HELD):
                    self._typed.appendleft(event)
                    await asyncio.sleep(LOOK_AGAIN)
                    continue
                before = self._path()
                await super().on_event(event)
                await self._settle(before)
        finally:
            self.acting = False

    def _path(self) -> tuple[MessagePump, ...]:
        """The way of a key: from the focused widget up to the app."""
        return tuple((self.focused or self.screen).ancestors_with_self)

    async def _settle(self, path: tuple[MessagePump, ...]) -> None:
        """Until nothing that the key has set off, there or where the focus is by now, waits to be done."""
        busy = True
        while busy:
            busy = any(node.message_queue_size for node in path)
            await self._pass(path)
            now = self._path()
            busy, path = busy or now != path, now

    async def _pass(self, path: Iterable[MessagePump]) -> None:
        """Until each of these has done what stood in its queue."""
        for node in path:
            done = asyncio.Event()
            waits = node.call_later(done.set)
            while waits and not done.is_set():
                try:
                    await asyncio.wait_for(done.wait(), LOOK_AGAIN)
                except TimeoutError:
                    waits = node is self or node.is_attached


def holds_keys(screen: Screen[object]) -> bool:
    """Whether the screen keeps keys waiting: what they are to change is still being read."""
    return bool(getattr(screen, "holds_keys", False))
