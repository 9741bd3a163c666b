"""A daemon thread that calls a function periodically and stops at once on request."""

from __future__ import annotations

from threading import Event, Thread

from xray_tui.system.retry import Report, Retry, unheard


class PeriodicThread:
    """Calls `tick` at once and then every `interval` seconds, or sooner after `wake`, until `stop`. The pauses
    grow with each consecutive error."""

    def __init__(self, interval: float, name: str, what: str = "", on_failure: Report = unheard) -> None:
        """`what` names the work in the lines for `on_failure`, such as "reading the jobs"."""
        self._interval = interval
        self._wake = Event()
        self._stopping = False
        self._retry = Retry(what or name, lambda line: None if self._stopping else on_failure(line))
        self._thread = Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Ask the thread to end, without waiting for a tick that a slow file system delays."""
        self._stopping = True
        self._wake.set()

    def wake(self) -> None:
        """Tick now."""
        self._wake.set()

    @property
    def stopping(self) -> bool:
        return self._stopping

    def tick(self) -> None:
        raise NotImplementedError

    def _run(self) -> None:
        while not self._stopping:
            self._wake.wait(self._retry.attempt(self.tick) or self._interval)
            self._wake.clear()
