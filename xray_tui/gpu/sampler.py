"""GPU snapshots from a helper process, which is killed and restarted when the driver hangs."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from xray_tui.gpu.backoff import Backoff
from xray_tui.gpu.hang_detector import HangDetector
from xray_tui.gpu.helper_process import HelperEnded, HelperProcess, NoAnswer, unkillable_helpers
from xray_tui.gpu.snapshot import GpuSnapshot, from_json, keep_identity
from xray_tui.system.retry import Report, Retry, unheard

_ONCE_TIMEOUT = 15.0
"""Timeout of `sample_once` in seconds: starting NVML wakes every GPU on a server without nvidia-persistenced."""

_SETTLED = 3
"""Number of answers after which a helper counts as working; a helper that fails earlier keeps the back-off growing."""


class Sampler:
    """Calls `on_sample` with a GpuSnapshot about every `interval` seconds, from a thread of its own.

    If the driver hangs, the last snapshot is repeated with `stale` set and its old `time`, and the helper is restarted
    with back-off. If one of several GPUs hangs, its row has a `problem`, and the helper is replaced now and then to
    retry that GPU. Without a driver or a GPU the snapshot has a `problem`; the next probe follows after 30 s, later
    ones less often. `environment` is the whole environment of the helper, by default that of this process.
    `on_failure` gets a line when `on_sample` or the sampler itself fails.
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
        self._failures = 0
        """Number of helpers in a row that failed."""
        self._unanswered = 0
        """Number of helpers in a row that hung before their first answer."""
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        """Guards _helper and _interval. Not held while a process starts, which takes long on a slow disk."""
        self._helper: HelperProcess | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread. A sampler cannot be started again after stop()."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="gpu-sampler", daemon=True)
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
        outcome = self._run_helper(self._backoff.first_answer(self._unanswered))
        if self._stopping.is_set():
            return
        self._failures = 1 if outcome.answers >= _SETTLED else self._failures + 1
        self._unanswered = self._unanswered + 1 if outcome.hung and not outcome.answers else 0
        if outcome.problem is not None:
            self._post(GpuSnapshot(problem=outcome.problem, time=time.time()))
        elif outcome.stale is not None:
            self._post_stale(outcome.stale)
        else:
            return  # the helper worked and is replaced because of a hanging GPU
        never_a_gpu = outcome.problem is not None and not self._last.gpus
        pause = self._backoff.before_next_probe if never_a_gpu else self._backoff.before_restart
        self._stopping.wait(pause(self._failures))

    def _run_helper(self, timeout: float) -> _Outcome:
        """Start a helper, post its snapshots until it fails or is to be replaced, and kill it."""
        interval = self._interval
        arguments = ["--interval", str(interval), "--patience", str(self._backoff.hang)]
        try:
            helper = HelperProcess(arguments, self._environment)
        except OSError as error:
            return _Outcome(stale=f"The GPU helper process cannot be started: {error.strerror or error}.")
        answers = 0
        try:
            with self._lock:
                if self._stopping.is_set():
                    return _Outcome()
                self._helper = helper
                if self._interval != interval:
                    helper.write_line(str(self._interval))
            while True:
                snapshot = _next(helper, timeout)
                if snapshot.problem is not None:
                    return _Outcome(answers, problem=snapshot.problem)
                if self._stopping.is_set():
                    return _Outcome(answers)
                answers += 1
                self._last = keep_identity(snapshot, self._last)
                self._post(self._last)
                timeout = self._backoff.next_answer(self._interval)
                if not unkillable_helpers() and self._hang_detector.should_replace(snapshot, time.monotonic()):
                    return _Outcome(answers)
        except NoAnswer:
            return _Outcome(answers, hung=True, stale=_no_answer(timeout))
        except HelperEnded as how:
            return _Outcome(answers, stale=f"The GPU helper process ended unexpectedly ({how}).")
        finally:
            with self._lock:
                self._helper = None
            helper.close()

    def _post_stale(self, why: str) -> None:
        """Post the last values with the reason why they are old; without values, post the reason as a problem."""
        if self._last.gpus:
            self._post(replace(self._last, stale=why))
        else:
            self._post(GpuSnapshot(problem=why, time=time.time()))

    def _post(self, snapshot: GpuSnapshot) -> None:
        if not self._stopping.is_set():
            self._on_sample(snapshot)
            self._retry.succeeded()


@dataclass(frozen=True, slots=True)
class _Outcome:
    """How one helper process ended."""

    answers: int = 0
    hung: bool = False
    problem: str | None = None
    """Why there is no driver or no GPU, if the helper reported that before it exited."""
    stale: str | None = None
    """Why the helper failed. None together with `problem` None: it was stopped or replaced while it worked."""


def sample_once(timeout: float = _ONCE_TIMEOUT, *, environment: Mapping[str, str] | None = None) -> GpuSnapshot:
    """One snapshot, for a command line. Returns within `timeout` seconds whatever the driver does; raises nothing."""
    deadline = time.monotonic() + timeout
    try:
        helper = HelperProcess(["--once"], environment)
    except OSError as error:
        return GpuSnapshot(
            problem=f"The GPU helper process cannot be started: {error.strerror or error}.", time=time.time()
        )
    try:
        return _next(helper, deadline - time.monotonic())
    except NoAnswer:
        return GpuSnapshot(problem=_no_answer(timeout), time=time.time())
    except HelperEnded as how:
        return GpuSnapshot(problem=f"The GPU helper process ended unexpectedly ({how}).", time=time.time())
    finally:
        helper.close()


def _next(helper: HelperProcess, timeout: float) -> GpuSnapshot:
    """The next snapshot. Raises NoAnswer after `timeout` seconds without a snapshot, or HelperEnded."""
    deadline = time.monotonic() + timeout
    while (snapshot := _newest(helper.lines(max(0.0, deadline - time.monotonic())))) is None:
        if time.monotonic() >= deadline:
            raise NoAnswer
    return snapshot


def _newest(lines: Sequence[bytes]) -> GpuSnapshot | None:
    """The last snapshot among the lines; after Ctrl+Z and `fg` many lines wait in the pipe.

    Other lines are skipped: a library in the helper may print text.
    """
    for line in reversed(lines):
        try:
            return from_json(json.loads(line))
        except (ValueError, KeyError, TypeError, AttributeError):
            continue
    return None


def _no_answer(seconds: float) -> str:
    return f"The NVIDIA driver has not answered for {seconds:.3g} s: `sudo dmesg` shows whether it hangs."
