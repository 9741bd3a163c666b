"""Threads that ask the GPUs, so that a call that hangs costs its own GPU only."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

Answer = TypeVar("Answer")


class Crew(Generic[Answer]):
    """Asks every GPU in turn in one thread, which is the cheapest while all answer.

    ctypes lets go of Python's lock during a call, so the others go on while one hangs. A thread cannot be ended from
    outside: the one that hangs is left behind with its GPU, which is not asked again before it has come back.
    """

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._away: list[_Errand[Answer]] = []

    def ask(self, gpus: Iterable[int], question: Callable[[int], Answer]) -> dict[int, Answer]:
        """The answers that have come; a GPU that is missing hangs. Each had at least the patience for its answer, and
        all together take at most twice that. What `question` raises is raised here."""
        self._away = [errand for errand in self._away if errand.is_alive()]
        hanging = {errand.gpu for errand in self._away}
        first = _Errand(question, [gpu for gpu in gpus if gpu not in hanging])
        first.join(self._patience)
        # One after the other, several that hang would outlast the patience of whoever reads us.
        errands = [first, *(_Errand(question, [gpu]) for gpu in first.hand_over())]
        answers: dict[int, Answer] = {}
        for errand in errands:
            errand.join(max(0.0, errand.began + self._patience - time.monotonic()))
            errand.hand_over()  # on a very busy machine it may not have begun
            answers.update(errand.answers)
            if errand.failure is not None:
                raise errand.failure
        self._away += [errand for errand in errands if errand.is_alive()]
        return answers


class _Errand(threading.Thread, Generic[Answer]):
    """Asks some GPUs, one after the other."""

    def __init__(self, question: Callable[[int], Answer], gpus: Iterable[int]) -> None:
        super().__init__(daemon=True)
        self._question = question
        self._left = deque(gpus)
        self.gpu = -1
        """The one that is being asked."""
        self.began = time.monotonic()
        """When it was asked."""
        self.answers: dict[int, Answer] = {}
        self.failure: Exception | None = None
        self.start()

    def run(self) -> None:
        try:
            while (gpu := self._next()) is not None:
                self.gpu, self.began = gpu, time.monotonic()
                self.answers[gpu] = self._question(gpu)
        except Exception as failure:  # ours, not the driver's: it must end the process, not look like a hang
            self.failure = failure

    def hand_over(self) -> list[int]:
        """The GPUs that it has not come to; it will not ask them any more."""
        return list(iter(self._next, None))

    def _next(self) -> int | None:
        try:
            return self._left.popleft()
        except IndexError:
            return None
