"""Keys act one after the other, however fast they come. Slow links deliver keys in bursts.

Textual hands a key to the widget that has the focus when it arrives, and what is bound to it runs only after the key
has bubbled up to the app: of `ctrl+u` and `4`, sent at once, the `4` comes first, and after `down` it lands in the
field that is being left. So:

- A key that moves the cursor of a list sets nothing else off: the app runs its binding itself. That costs little.
- After every other key the app waits until all that it set off is done.
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
"""Poll interval in seconds for a widget that may be gone, and for a screen that holds keys."""


class KeysInOrder(App[Result]):
    """An app in which a key acts after the key before it is done."""

    NOT_HELD: ClassVar[frozenset[str]] = frozenset({"escape", "ctrl+q", "ctrl+c"})
    """Keys that discard the keys held by a screen."""

    _typed: deque[events.Key | events.Paste]
    acting = False
    """Whether a key is still at work."""

    async def on_event(self, event: events.Event) -> None:
        if not isinstance(event, events.Key | events.Paste) or event.is_forwarded:
            await super().on_event(event)
        elif self.acting:
            if isinstance(event, events.Key) and event.key in self.NOT_HELD and holds_keys(self.screen):
                self._typed.clear()
            self._typed.append(event)
        elif not (isinstance(event, events.Key) and await self._move(event.key)):
            self.acting, self._typed = True, deque([event])
            self.run_worker(self._act(), group="keys")

    async def _move(self, key: str) -> bool:
        """Run the binding of the key if it only moves the cursor of the focused widget; whether it does."""
        found = self.screen.active_bindings.get(key)
        moves = getattr(found.node, "MOVES", ()) if found is not None and found.node is self.focused else ()
        if found is None or not found.enabled or found.binding.action.partition("(")[0] not in moves:
            return False
        return await self.run_action(found.binding.action, found.node)

    async def _act(self) -> None:
        """Hand on the typed keys until none is left or the app ends."""
        try:
            while self._typed and not self._exit:
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
        """Wait until no message that the key set off is waiting, neither on its way nor where the focus is now.

        A widget that is closing takes no message and may keep its last ones for ever, so it is not waited for; and
        each round yields, so that the app can end whatever the widgets do.
        """
        busy = True
        while busy and not self._exit:
            await asyncio.sleep(0)
            busy = any(node.message_queue_size for node in path if node.is_running)
            await self._pass(path)
            now = self._path()
            busy, path = busy or now != path, now

    async def _pass(self, path: Iterable[MessagePump]) -> None:
        """Wait until each of these has handled the messages in its queue."""
        for node in path:
            done = asyncio.Event()
            waits = node.call_later(done.set)
            while waits and not done.is_set() and not self._exit:
                try:
                    await asyncio.wait_for(done.wait(), LOOK_AGAIN)
                except TimeoutError:
                    waits = node is self or node.is_attached


def holds_keys(screen: Screen[object]) -> bool:
    """Whether the screen holds keys until the files that they would change are read."""
    return bool(getattr(screen, "holds_keys", False))
