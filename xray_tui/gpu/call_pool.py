"""Driver calls in threads: a call that hangs affects its own GPU only."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

Answer = TypeVar("Answer")


class CallPool(Generic[Answer]):
    """Calls the driver for every GPU in turn in one thread; the GPUs after a hanging one move to further threads.

    ctypes releases the GIL during a call, so other threads run while one hangs. A thread cannot be ended from outside:
    a hanging thread is abandoned, and its GPU is skipped until the call returns.
    """

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._hanging: list[_CallThread[Answer]] = []

    def call(self, gpus: Iterable[int], read: Callable[[int], Answer]) -> dict[int, Answer]:
        """`read` of every GPU, by its index; a GPU that hangs is missing. Each GPU has at least the timeout for its
        answer; the whole call takes at most twice the timeout. Exceptions of `read` are raised."""
        self._hanging = [thread for thread in self._hanging if thread.is_alive()]
        hanging = {thread.gpu for thread in self._hanging}
        first = _CallThread(read, [gpu for gpu in gpus if gpu not in hanging])
        first.join(self._timeout)
        # In parallel: the timeouts of several hanging GPUs would otherwise add up.
        threads = [first, *(_CallThread(read, [gpu]) for gpu in first.take_remaining())]
        answers: dict[int, Answer] = {}
        for thread in threads:
            thread.join(max(0.0, thread.began + self._timeout - time.monotonic()))
            thread.take_remaining()  # on a very busy machine the thread may not have started its call
            answers.update(thread.answers)
            if thread.failure is not None:
                raise thread.failure
        self._hanging += [thread for thread in threads if thread.is_alive()]
        return answers


class _CallThread(threading.Thread, Generic[Answer]):
    """Reads some GPUs, one after the other."""

    def __init__(self, read: Callable[[int], Answer], gpus: Iterable[int]) -> None:
        super().__init__(daemon=True)
        self._read = read
        self._remaining = deque(gpus)
        self.gpu = -1
        """Index of the GPU whose call is running."""
        self.began = time.monotonic()
        """Start of that call."""
        self.answers: dict[int, Answer] = {}
        self.failure: Exception | None = None
        self.start()

    def run(self) -> None:
        try:
            while (gpu := self._next()) is not None:
                self.gpu, self.began = gpu, time.monotonic()
                self.answers[gpu] = self._read(gpu)
        except Exception as failure:  # a bug in `read`, not a driver error: it must not look like a hang
            self.failure = failure

    def take_remaining(self) -> list[int]:
        """Remove and return the GPUs that the thread has not started to read."""
        return list(iter(self._next, None))

    def _next(self) -> int | None:
        try:
            return self._remaining.popleft()
        except IndexError:
            return None
