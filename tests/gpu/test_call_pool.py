"""Threads that ask, some of which do not come back: real threads, without a driver."""

from __future__ import annotations

import threading
import time

import pytest

from xray_tui.gpu.driver import CallPool

from .fake import wait_until


class Machine:
    """GPUs that answer with their index, but for those that hang until they are let go."""

    def __init__(self, *hanging: int) -> None:
        self.hanging = {gpu: threading.Event() for gpu in hanging}
        self.asked: list[int] = []
        self.came_back = 0

    def ask(self, gpu: int) -> int:
        self.asked.append(gpu)
        if gpu in self.hanging:
            assert self.hanging[gpu].wait(30)
            self.came_back += 1
        return gpu

    def let_go(self) -> None:
        for event in self.hanging.values():
            event.set()


def test_every_gpu_is_asked_in_a_thread_of_its_own():
    threads = []
    together = threading.Barrier(4)
    answers = CallPool(10.0).call(range(4), lambda gpu: together.wait() * 0 or threads.append(gpu) or -gpu)
    assert answers == {0: 0, 1: -1, 2: -2, 3: -3}
    assert sorted(threads) == [0, 1, 2, 3]


def test_whoever_hangs_is_missing_and_is_not_asked_again_before_it_came_back():
    machine, pool = Machine(1), CallPool(1.5)
    assert sorted(pool.call(range(4), machine.ask)) == [0, 2, 3]
    for _ in range(3):
        assert sorted(pool.call(range(4), machine.ask)) == [0, 2, 3]
    assert machine.asked.count(1) == 1
    assert machine.asked.count(3) == 4
    machine.let_go()
    wait_until(lambda: sorted(pool.call(range(4), machine.ask)) == [0, 1, 2, 3])
    assert machine.asked.count(1) == 2


def test_sixteen_that_hang_at_once_take_no_longer_than_two():
    machine, pool = Machine(*range(16)), CallPool(1.0)
    started = time.monotonic()
    assert pool.call(range(17), machine.ask) == {16: 16}
    assert time.monotonic() - started < 16 * 1.0 / 2
    assert pool.call(range(17), machine.ask) == {16: 16}
    machine.let_go()
    wait_until(lambda: machine.came_back == 16)
    assert sorted(machine.asked) == [*range(16), 16, 16], "what was handed over is asked once"


def test_a_fault_of_ours_is_raised_and_not_taken_for_a_hang():
    with pytest.raises(ZeroDivisionError):
        CallPool(10.0).call([0], lambda gpu: 1 // gpu)
