"""Process keys strictly in order, even if a slow link delivers them in bursts.

Textual sends a key to the widget that has the focus when the key arrives, but runs its binding only after the key has
bubbled up to the app. If `ctrl+u` and `4` arrive together, the `4` acts first; if `down` and `4` do, the `4` lands in
the field that is losing the focus. Therefore:

- If a key only moves the cursor of a list, the app runs its binding directly, which is cheap.
- After every other key, the app waits until all messages that the key caused are handled.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import ClassVar

from textual import events
from textual.app import App
from textual.message_pump import MessagePump

LOOK_AGAIN = 0.02
"""Interval in seconds at which to check whether a widget was removed or a screen still holds keys."""


class KeysInOrder(App[None]):
    """An app that handles a key only after the previous key is completely handled."""

    NOT_HELD: ClassVar[frozenset[str]] = frozenset({"escape", "ctrl+q", "ctrl+c"})
    """Keys that discard the keys held by a screen."""

    _typed: deque[events.Key | events.Paste]
    acting = False
    """Whether a key is being handled."""

    async def on_event(self, event: events.Event) -> None:
        if not isinstance(event, events.Key | events.Paste) or event.is_forwarded:
            await super().on_event(event)
        elif self.acting:
            if self._discards(event) and self._keys_held:
                self._typed.clear()
            self._typed.append(event)
        elif not (isinstance(event, events.Key) and await self._move(event.key)):
            self.acting, self._typed = True, deque([event])
            self.run_worker(self._act(), group="keys")

    @property
    def _is_over(self) -> bool:
        """Whether the app exits, or has ended with an error and handles no message any more."""
        return self._exit or not self.is_running

    @property
    def _keys_held(self) -> bool:
        """Whether the screen delays keys until it has read its files."""
        return bool(getattr(self.screen, "holds_keys", False))

    def _discards(self, event: events.Event) -> bool:
        return isinstance(event, events.Key) and event.key in self.NOT_HELD

    async def _move(self, key: str) -> bool:
        """Run the key's binding if it only moves the cursor of the focused widget. Returns False for other keys."""
        active = self.screen.active_bindings.get(key)
        moves = getattr(active.node, "MOVES", ()) if active is not None and active.node is self.focused else ()
        if active is None or not active.enabled or active.binding.action.partition("(")[0] not in moves:
            return False
        return await self.run_action(active.binding.action, active.node)

    async def _act(self) -> None:
        """Handle the queued keys one by one until the queue is empty or the app exits."""
        try:
            while self._typed and not self._is_over:
                event = self._typed.popleft()
                if self._keys_held and not self._discards(event):
                    self._typed.appendleft(event)
                    await asyncio.sleep(LOOK_AGAIN)
                    continue
                before = self._path()
                await super().on_event(event)
                await self._settle(before)
        finally:
            self.acting = False

    def _path(self) -> tuple[MessagePump, ...]:
        """The nodes through which a key bubbles: from the focused widget up to the app."""
        return tuple((self.focused or self.screen).ancestors_with_self)

    async def _settle(self, path: tuple[MessagePump, ...]) -> None:
        """Wait until all messages that the key caused are handled, on its path and on the path of the new focus.

        A closing widget accepts no message and may never empty its queue, so it is skipped. Each round yields to the
        event loop, so that the app can always exit.
        """
        busy = True
        while busy and not self._is_over:
            await asyncio.sleep(0)
            busy = any(node.message_queue_size for node in path if node.is_running)
            for node in path:
                await self._drain(node)
            now = self._path()
            busy, path = busy or now != path, now

    async def _drain(self, node: MessagePump) -> None:
        """Wait until the node has handled the messages in its queue."""
        done = asyncio.Event()
        waiting = node.call_later(done.set)
        while waiting and not done.is_set() and not self._is_over:
            try:
                await asyncio.wait_for(done.wait(), LOOK_AGAIN)
            except TimeoutError:
                waiting = node is self or node.is_attached
