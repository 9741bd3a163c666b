"""GPU snapshots from a helper process, which is killed and restarted when the driver hangs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import replace

from xray_tui.gpu.backoff import Backoff, HangDetector, doubled
from xray_tui.gpu.helper_process import HelperFailed, HelperProcess, NoAnswer, unkillable_helpers
from xray_tui.gpu.snapshot import GpuSnapshot, keep_identity
from xray_tui.system.retry import Report, Retry, unheard

_ONCE_TIMEOUT = 15.0
"""Timeout of `sample_once` in seconds; starting NVML is slow: without nvidia-persistenced it wakes every GPU."""

_SETTLED = 3
"""Number of answers after which a helper counts as working; a helper that fails earlier keeps the back-off growing."""


class Sampler:
    """Calls `on_sample` with a GpuSnapshot about every `interval` seconds, on its own thread.

    If the driver hangs, the last snapshot is repeated with `stale` set and its old `time`, and the helper is restarted
    with back-off. If one of several GPUs hangs, its row has a `problem`, and the helper is occasionally replaced to
    retry that GPU. Without a driver or a GPU the snapshot has a `problem`; the next probe follows after 30 s, later
    ones less often. `environment` is the whole environment of the helper, by default that of this process. `on_failure`
    is called with a one-line message when `on_sample` or the sampler itself fails.
    """

    def __init__(
        self,
        on_sample: Callable[[GpuSnapshot], None],
        interval: float = 1.0,
        *,
        environment: Mapping[str, str] | None = None,
        backoff: Backoff | None = None,
        on_failure: Report = unheard,
    ) -> None:
        self._on_sample = on_sample
        self._interval = interval
        self._environment = environment
        self._backoff = backoff or Backoff()
        self._last = GpuSnapshot()
        self._hang_detector = HangDetector(self._backoff)
        self._retry = Retry("reading the GPUs", on_failure)
        self._answers = 0
        """Number of snapshots from the current helper."""
        self._failures = 0
        """Number of consecutive helpers that failed."""
        self._unanswered = 0
        """Number of consecutive helpers that hung before their first answer."""
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        """Guards _helper and _interval. Not held while a process starts, which can take long on a slow disk."""
        self._helper: HelperProcess | None = None
        self._thread = threading.Thread(target=self._run, name="gpu-sampler", daemon=True)

    def start(self) -> None:
        """Start the thread. Call it once; a sampler cannot be started again after stop()."""
        self._thread.start()

    def stop(self) -> None:
        """Stop without waiting, even while the driver hangs. A running call of `on_sample` may still finish."""
        with self._lock:
            self._stopping.set()
            if self._helper is not None:
                self._helper.kill()

    def set_interval(self, seconds: float) -> None:
        """Change the interval, for example to a longer one while the app is idle."""
        with self._lock:
            self._interval = seconds
            if self._helper is not None:
                self._helper.write_line(str(seconds))

    def _run(self) -> None:
        while not self._stopping.is_set():
            if pause := self._retry.attempt(self._one_round):
                self._stopping.wait(pause)

    def _one_round(self) -> None:
        """Run one helper from start to end, and pause after it."""
        self._answers = 0
        absent, failure = None, None
        try:
            absent = self._run_helper()
        except HelperFailed as error:
            failure = error
        if self._stopping.is_set():
            return
        self._failures = 1 if self._answers >= _SETTLED else self._failures + 1
        self._unanswered = self._unanswered + 1 if isinstance(failure, NoAnswer) and not self._answers else 0
        if failure is not None and self._last.gpus:
            self._post(replace(self._last, stale=str(failure)))
        elif absent or failure:
            self._post(GpuSnapshot(problem=absent or str(failure), time=time.time()))
        else:
            return  # the helper worked and is replaced because of a hanging GPU
        backoff = self._backoff
        if absent and not self._last.gpus:
            pause = doubled(backoff.absent, self._failures - 1, backoff.longest_absent)
        else:
            pause = doubled(backoff.restart, self._failures - 1, backoff.longest_restart)
        self._stopping.wait(pause)

    def _run_helper(self) -> str | None:
        """Start a helper, post its snapshots until it is to be replaced, and kill it. Returns why there is no driver or
        no GPU, if the helper reports that. Raises HelperFailed."""
        interval, backoff = self._interval, self._backoff
        helper = HelperProcess(["--interval", str(interval), "--patience", str(backoff.hang)], self._environment)
        try:
            with self._lock:
                if self._stopping.is_set():
                    return None
                self._helper = helper
                if self._interval != interval:
                    helper.write_line(str(self._interval))
            timeout = doubled(backoff.silence, self._unanswered, backoff.longest_silence)
            while True:
                snapshot = helper.snapshot(timeout)
                if snapshot.problem is not None or self._stopping.is_set():
                    return snapshot.problem
                self._answers += 1
                self._last = keep_identity(snapshot, self._last)
                self._post(self._last)
                timeout = backoff.next_answer(self._interval)
                if not unkillable_helpers() and self._hang_detector.should_replace(snapshot, time.monotonic()):
                    return None
        finally:
            with self._lock:
                self._helper = None
            helper.close()

    def _post(self, snapshot: GpuSnapshot) -> None:
        if not self._stopping.is_set():
            self._on_sample(snapshot)
            self._retry.succeeded()


def sample_once(timeout: float = _ONCE_TIMEOUT, *, environment: Mapping[str, str] | None = None) -> GpuSnapshot:
    """Take one snapshot, for a command line, within `timeout` seconds even if the driver hangs. Never raises."""
    try:
        with closing(HelperProcess(["--once"], environment)) as helper:
            return helper.snapshot(timeout)
    except HelperFailed as error:
        return GpuSnapshot(problem=str(error), time=time.time())
