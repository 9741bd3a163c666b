"""Samples of the GPUs, from a helper process that is killed and started anew when the driver hangs."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from xray_tui.gpu.backoff import Pace
from xray_tui.gpu.hang_detector import Stuck
from xray_tui.gpu.helper_process import Child, Ended, Silent, left_behind
from xray_tui.gpu.snapshot import GpuSnapshot, from_json, remembering
from xray_tui.system.retry import Report, Retry, unheard

_ONE_LOOK = 15.0
"""Seconds for a look that nothing comes after: without nvidia-persistenced starting NVML wakes every GPU first."""

_SETTLED = 3
"""Answers after which a helper counts as working, so that one that falls over at once does not reset the back-off."""


class Sampler:
    """Calls `on_sample` with a GpuSnapshot about every `interval` seconds, from a thread of its own.

    Where no answer comes, the last snapshot is handed on once more with `stale` set and its old `time`, and the helper
    is started anew with back-off; `GpuSnapshot.age` says how old it is. Where one GPU of several hangs, its row says so
    and the others go on; now and then a new helper tries that GPU anew. Where there is no driver or GPU, the snapshot
    has a `problem`, and the next look comes after half a minute, then ever more rarely. `environment` is the helper's
    whole environment; by default it is this process's. `on_failure` gets a line while `on_sample`, or the sampler
    itself, fails.
    """

    def __init__(
        self,
        on_sample: Callable[[GpuSnapshot], None],
        interval: float = 1.0,
        *,
        environment: Mapping[str, str] | None = None,
        pace: Pace | None = None,
        on_failure: Report = unheard,
    ) -> None:
        self._on_sample = on_sample
        self._interval = interval
        self._environment = environment
        self._pace = pace or Pace()
        self._last = GpuSnapshot()
        self._stuck = Stuck(self._pace)
        self._retry = Retry("reading the GPUs", on_failure)
        self._failures = 0
        """Helpers in a row that did not work."""
        self._unanswered = 0
        """Helpers in a row that hung before their first answer."""
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        """Of _child and _interval. Not held while a process is started, which takes long where the disk is slow."""
        self._child: Child | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin; returns at once. A sampler is started once: after stop(), make another."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="gpu-sampler", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """End; returns at once even while the driver hangs. A call of `on_sample` that has begun may still finish."""
        with self._lock:
            self._stopping.set()
            if self._child is not None:
                self._child.kill()

    def set_interval(self, seconds: float) -> None:
        """Sample at another pace from now on, for example slower while nobody looks."""
        with self._lock:
            self._interval = seconds
            if self._child is not None:
                self._child.say(str(seconds))

    def _run(self) -> None:
        while not self._stopping.is_set():
            if pause := self._retry.attempt(self._one_round):
                self._stopping.wait(pause)

    def _one_round(self) -> None:
        """One helper from its start to its end, and the pause after it."""
        life = self._one_helper(self._pace.first_answer(self._unanswered))
        if self._stopping.is_set():
            return
        self._failures = 1 if life.answers >= _SETTLED else self._failures + 1
        self._unanswered = self._unanswered + 1 if life.hung and not life.answers else 0
        if life.problem is not None:
            self._post(GpuSnapshot(problem=life.problem, time=time.time()))
        elif life.stale is not None:
            self._post_stale(life.stale)
        else:
            return  # it was replaced while it worked
        rarely = life.problem is not None and not self._last.gpus
        pause = self._pace.before_looking_again if rarely else self._pace.before_restart
        self._stopping.wait(pause(self._failures))

    def _one_helper(self, patience: float) -> _Life:
        """Start a helper, hand on what it says, and return why there is no more of it. It is killed afterwards."""
        interval = self._interval
        try:
            child = Child(["--interval", str(interval), "--patience", str(self._pace.hang)], self._environment)
        except OSError as error:
            return _Life(stale=f"The GPU helper process cannot be started: {error.strerror or error}.")
        answers = 0
        try:
            with self._lock:
                if self._stopping.is_set():
                    return _Life()
                self._child = child
                if self._interval != interval:
                    child.say(str(self._interval))
            while True:
                snapshot = _next(child, patience)
                if snapshot.problem is not None:
                    return _Life(answers, problem=snapshot.problem)
                if self._stopping.is_set():
                    return _Life(answers)
                answers += 1
                self._last = remembering(snapshot, self._last)
                self._post(self._last)
                patience = self._pace.next_answer(self._interval)
                if not left_behind() and self._stuck.lasts(snapshot, time.monotonic()):
                    return _Life(answers)
        except Silent:
            return _Life(answers, hung=True, stale=_no_answer(patience))
        except Ended as how:
            return _Life(answers, stale=f"The GPU helper process ended unexpectedly ({how}).")
        finally:
            with self._lock:
                self._child = None
            child.close()

    def _post_stale(self, why: str) -> None:
        """The last values with the reason why they are old; where there are none, the reason alone."""
        if self._last.gpus:
            self._post(replace(self._last, stale=why))
        else:
            self._post(GpuSnapshot(problem=why, time=time.time()))

    def _post(self, snapshot: GpuSnapshot) -> None:
        if not self._stopping.is_set():
            self._on_sample(snapshot)
            self._retry.succeeded()


@dataclass(frozen=True, slots=True)
class _Life:
    """How one helper process went."""

    answers: int = 0
    hung: bool = False
    problem: str | None = None
    """Its last word: there is no driver or no GPU."""
    stale: str | None = None
    """Why it said no last word; None without a `problem`: it was stopped, or replaced, while it worked."""


def sample_once(timeout: float = _ONE_LOOK, *, environment: Mapping[str, str] | None = None) -> GpuSnapshot:
    """One look at the GPUs for a command line: at most `timeout` seconds, whatever the driver does; never an error."""
    deadline = time.monotonic() + timeout
    try:
        child = Child(["--once"], environment)
    except OSError as error:
        return GpuSnapshot(
            problem=f"The GPU helper process cannot be started: {error.strerror or error}.", time=time.time()
        )
    try:
        return _next(child, deadline - time.monotonic())
    except Silent:
        return GpuSnapshot(problem=_no_answer(timeout), time=time.time())
    except Ended as how:
        return GpuSnapshot(problem=f"The GPU helper process ended unexpectedly ({how}).", time=time.time())
    finally:
        child.close()


def _next(child: Child, patience: float) -> GpuSnapshot:
    """The next snapshot. Raises Silent after `patience` seconds without one, whatever else is printed, or Ended."""
    deadline = time.monotonic() + patience
    while (snapshot := _newest(child.lines(max(0.0, deadline - time.monotonic())))) is None:
        if time.monotonic() >= deadline:
            raise Silent
    return snapshot


def _newest(lines: Sequence[bytes]) -> GpuSnapshot | None:
    """The last snapshot among the lines: after Ctrl+Z and `fg` there are many, and only the newest is of use.

    Lines that are none are skipped: a library in the helper may print what it likes.
    """
    for line in reversed(lines):
        try:
            return from_json(json.loads(line))
        except (ValueError, KeyError, TypeError, AttributeError):
            continue
    return None


def _no_answer(seconds: float) -> str:
    return f"The NVIDIA driver has not answered for {seconds:.3g} s: `sudo dmesg` says whether it hangs."
