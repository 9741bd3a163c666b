"""An app that leaves its terminal in order: signals and errors end it as `q` does, it can be suspended, and its exit
never waits for a thread."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

from textual._context import active_message_pump
from textual.screen import Screen
from textual.widget import Widget

from engine.contract.text import clean
from xray_tui.app.key_queue import KeysInOrder
from xray_tui.system.error_log import in_words, log_error
from xray_tui.widgets.message_line import MessageLine

if TYPE_CHECKING:
    from textual.notifications import SeverityLevel
    from textual.timer import Timer

SAVE_TITLE, RESTORE_TITLE = "\x1b[22;2t", "\x1b[23;2t"


class TerminalApp(KeysInOrder):
    """Behaviour that does not depend on what the app shows. A non-empty variable NO_COLOR removes all colours."""

    def __init__(self) -> None:
        super().__init__(ansi_color=True if os.environ.get("NO_COLOR") else None)
        self.messages: list[tuple[str, SeverityLevel]] = []
        """The messages that are shown or waiting, newest last."""
        self._message_timer: Timer | None = None

    def on_mount(self) -> None:
        loop = asyncio.get_running_loop()
        loop.set_default_executor(DaemonThreads())
        self.app_resume_signal.subscribe(self, lambda _: self.refresh(layout=True))
        if not self.is_headless:
            for number in (signal.SIGTERM, signal.SIGHUP):
                loop.add_signal_handler(number, self._end_by_signal, number)

    def name_terminal(self, title: str) -> None:
        """Show the title in the terminal's window. `start` restores the former one."""
        if self._driver is not None and not self.is_headless:
            self.title = clean(title)
            self._driver.write(f"{SAVE_TITLE}\x1b]2;{clean(title)} - xray-tui\x07")

    def _end_by_signal(self, number: int) -> None:
        """Exit as `q` does, so that the terminal is restored."""
        self.exit(return_code=128 + number)

    @property
    def failure(self) -> Exception | None:
        """The unexpected error that ended the app."""
        return self._exception

    def _handle_exception(self, error: Exception) -> None:
        """Exit because of this error, without printing Textual's traceback; `start` logs the error. While the app ends
        or the widget is removed, the error is only logged: a message on its way may not find the parts that are gone.
        """
        node = active_message_pump.get(None)
        nodes = node.ancestors_with_self if isinstance(node, Widget) else []
        is_removed = any(isinstance(part, Widget) and not part.is_attached for part in nodes)
        if self._exit or not self._running or is_removed:
            log_error("a widget that is being removed", error)
            return
        self._return_code = 1
        if self._exception is None:
            self._exception = error
            self._exception_event.set()
        self._close_messages_no_wait()

    @property
    def _background_screens(self) -> list[Screen[object]]:
        """The screens visible behind the current one. Textual would include the screen below an opaque screen, and
        repaint the opaque one completely after each change below it."""
        return [] if self.screen.styles.background.a == 1 else super()._background_screens

    def say(self, line: str, severity: SeverityLevel = "information") -> None:
        """Show a message for 5 seconds, or 12 for a warning or an error. A newer message is shown first, and the older
        one again after it; a message that is still shown or waiting is not repeated."""
        message = clean(line), severity
        self.messages = [*(other for other in self.messages if other != message), message]
        self.call_later(self.show_message)

    def notify(
        self, message: str, *, title: str = "", severity: SeverityLevel = "information", timeout: float | None = None,
        markup: bool = True,
    ) -> None:  # fmt: skip
        """Show Textual's own messages in the message line, too, instead of over a panel."""
        self.say(message, severity)

    def show_message(self) -> None:
        """Show the newest message if the top screen has a message line; otherwise the message waits."""
        lines = self.screen.query(MessageLine) if self._screen_stack and not self._exit else None
        if not lines:
            return
        if self._message_timer is not None:
            self._message_timer.stop()
        text, severity = self.messages[-1] if self.messages else ("", "information")
        lines.first().show(text, severity)
        if text:
            drop = partial(self._drop_message, (text, severity))
            self._message_timer = self.set_timer(5 if severity == "information" else 12, drop)

    def _drop_message(self, message: tuple[str, SeverityLevel]) -> None:
        self.messages = [other for other in self.messages if other != message]
        self.show_message()

    def on_message_line_ready(self) -> None:
        self.show_message()

    def on_resize(self) -> None:
        """Cover the app while the terminal is too small."""
        self.call_later(self._cover_if_small)

    def _cover_if_small(self) -> None:
        from xray_tui.screens.too_small import TooSmallScreen, is_too_small

        covered = any(isinstance(screen, TooSmallScreen) for screen in self._screen_stack)
        if is_too_small(self.size) and not covered and not self._exit:
            self.push_screen(TooSmallScreen())

    def show_in_pager(self, path: Path | None, missing: str, *variables: str) -> None:
        """Show a file in the program that one of the variables names (default: $PAGER), which controls the terminal
        until it exits; without a file, show `missing`."""
        from xray_tui.logs.pager import find_pager, page

        pager = find_pager(*variables)
        if path is None or not path.is_file():
            self.say(missing)
        elif pager is None:
            self.say("No pager is installed: set PAGER, or install less", "warning")
        else:
            with self.suspend():
                error = page(pager, path)
            if error is not None:
                self.say(f"The pager cannot be started: {in_words(error)}", "warning")

    def action_suspend(self) -> None:
        """Suspend until the shell's `fg`. Refuse if no interactive shell controls the app (`tmux new xray-tui`, a
        script), because nothing could then resume it."""
        if os.getpid() == os.getpgrp() != os.getsid(0):
            self.action_suspend_process()
        else:
            self.say("No interactive shell could continue the app after a suspend")


class DaemonThreads(ThreadPoolExecutor):
    """Runs each call of a thread worker in its own daemon thread, so that the exit does not wait for a slow read."""

    def submit(self, call: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()

        def run() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                result = call(*args, **kwargs)
            except BaseException as error:
                future.set_exception(error)
            else:
                future.set_result(result)

        Thread(target=run, name="worker", daemon=True).start()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Return at once; the daemon threads end with the process."""
