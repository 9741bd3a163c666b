"""Work on many images in threads, with its progress; asked to stop, it does not finish the queue first."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from engine.progress import Progress

Result = TypeVar("Result")


def each(work: Callable[[int], Result], count: int, phase: str, unit: str = "images") -> Iterator[Result]:
    """`work(0) … work(count - 1)` in order, computed in as many threads as there are cores. numpy and Pillow let go of
    the interpreter while they compute."""
    pool = ThreadPoolExecutor(os.cpu_count())
    try:
        with Progress(phase, count, unit) as progress:
            for result in pool.map(work, range(count)):
                yield result
                progress.advance()
    finally:
        pool.shutdown(cancel_futures=True)
