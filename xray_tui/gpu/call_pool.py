"""Driver calls in threads: a call that hangs affects its own GPU only."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from threading import Thread
from typing import Generic, TypeVar

Answer = TypeVar("Answer")


class CallPool(Generic[Answer]):
    """Calls the driver for every GPU at the same time, each in a thread of its own.

    ctypes releases the GIL during a call, so other threads run while one hangs. A thread cannot be ended from outside:
    a hanging thread is abandoned, and its GPU is skipped until the call returns.
    """

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._hanging: dict[int, Thread] = {}

    def call(self, gpus: Iterable[int], read: Callable[[int], Answer]) -> dict[int, Answer]:
        """`read` of every GPU, by its index; a GPU that does not answer within the timeout is missing. Exceptions of
        `read` are raised."""
        answers: dict[int, Answer] = {}
        failures: list[Exception] = []

        def run(gpu: int) -> None:
            try:
                answers[gpu] = read(gpu)
            except Exception as failure:  # a bug in `read`, not a driver error: it must not look like a hang
                failures.append(failure)

        self._hanging = {gpu: thread for gpu, thread in self._hanging.items() if thread.is_alive()}
        started = {gpu: Thread(target=run, args=(gpu,), daemon=True) for gpu in gpus if gpu not in self._hanging}
        deadline = time.monotonic() + self._timeout
        for thread in started.values():
            thread.start()
        for thread in started.values():
            thread.join(max(0.0, deadline - time.monotonic()))
        if failures:
            raise failures[0]
        self._hanging |= {gpu: thread for gpu, thread in started.items() if thread.is_alive()}
        return answers.copy()  # an abandoned thread may still add its answer
