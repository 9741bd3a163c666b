"""Snapshots of all GPUs of the machine. Each GPU is read separately, so an error or a hang affects only that GPU."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from threading import Thread
from typing import Any

from xray_tui.gpu import nvml
from xray_tui.gpu.errors import DRIVER_GONE, NO_GPU, why_no_values
from xray_tui.gpu.process_info import ProcessInfoCache
from xray_tui.gpu.snapshot import NO_ANSWER, GpuSample, GpuSnapshot

Answer = GpuSample | nvml.Refusal


class CallPool:
    """Calls the driver for all GPUs at the same time, each on its own thread, so that a call that hangs affects only
    its own GPU.

    ctypes releases the GIL during a call, so other threads run while one hangs. A hanging thread cannot be ended from
    outside, so it is abandoned, and its GPU is skipped until the call returns.
    """

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._hanging: dict[int, Thread] = {}

    def call(self, gpus: Iterable[int], read: Callable[[int], Any]) -> dict[int, Any]:
        """Call `read` for each GPU; return the results by GPU index, without GPUs that do not answer within the
        timeout. Raises the exceptions of `read`."""
        answers: dict[int, Any] = {}
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


class Driver:
    """Starts NVML. Raises nvml.NoDriver; a retry needs a new process, because the library on disk may change.

    `hang` is the time in seconds after which a GPU that has not answered counts as hanging.
    """

    def __init__(self, hang: float) -> None:
        self._version = nvml.start()
        self._process_info = ProcessInfoCache()
        self._states: dict[str, nvml.GpuState] = {}
        self._uuids: dict[int, str] = {}
        self._pool = CallPool(hang)

    def snapshot(self, now: float) -> GpuSnapshot | None:
        """Read all GPUs within `hang` seconds. None if no GPU answers, which means that the driver itself hangs. Raises
        NoDriver if no GPU can be read because the driver is gone. For a GPU that cannot be read, name and `since` come
        from this snapshot alone; see `keep_identity`.

        The call that counts the GPUs has no timeout here; the sampler kills a helper that prints no line.
        """
        count = nvml.count()
        if not count:
            raise nvml.NoDriver(NO_GPU)
        answers: dict[int, Answer] = self._pool.call(range(count), partial(self._read, now=now))
        refusals = [answer for answer in answers.values() if isinstance(answer, nvml.Refusal)]
        if not answers:
            return None
        if len(refusals) == len(answers) and all(refusal.code in DRIVER_GONE for refusal in refusals):
            raise refusals[0].no_driver()
        gpus = tuple(self._rows(count, answers, now))
        self._process_info.keep_only({process.pid for gpu in gpus for process in gpu.processes or ()})
        return GpuSnapshot(gpus=gpus, time=now, driver=self._version)

    def _read(self, index: int, now: float) -> Answer:
        """Read one GPU; runs in a thread of the pool.

        The handle is fetched every time because a lost GPU or a reloaded driver invalidates it. State is kept by UUID
        because an index can move to another GPU.
        """
        try:
            handle, uuid = nvml.identify(index)
            self._uuids[index] = uuid
            return nvml.read(index, handle, self._state(uuid, index), self._process_info, now)
        except nvml.FAILURES as error:
            return nvml.Refusal.of(error)

    def _rows(self, count: int, answers: Mapping[int, Answer], now: float) -> list[GpuSample]:
        """A row for each index; a GPU that could not be read keeps the UUID that its index had before."""
        rows: list[GpuSample] = []
        present = {answer.uuid for answer in answers.values() if isinstance(answer, GpuSample)}
        for index in range(count):
            answer = answers.get(index)
            if isinstance(answer, GpuSample):
                rows.append(answer)
                continue
            uuid = self._uuids.get(index, "")
            state = self._state("" if uuid in present else uuid, index)
            present.add(state.uuid)
            self._states.pop(state.uuid, None)  # cached values from before the failure may be wrong after it
            problem = NO_ANSWER if answer is None else why_no_values(answer.code, answer.text)
            why = problem.partition(":")[0]
            rows.append(GpuSample(index, state.uuid, state.name, processes_problem=why, problem=problem, since=now))
        return rows

    def _state(self, uuid: str, index: int) -> nvml.GpuState:
        """The state of the GPU with this UUID; a new one if the UUID is unknown."""
        state = nvml.GpuState(uuid, f"GPU {index}")
        return self._states.setdefault(uuid, state) if uuid else state
