"""All GPUs of the machine, look by look, each guarded alone: what one does costs the others nothing."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from xray_tui.gpu import nvml
from xray_tui.gpu.call_pool import Crew
from xray_tui.gpu.errors import DRIVER_GONE, NO_ANSWER, NO_GPU, why_no_values
from xray_tui.gpu.gpu_state import Known
from xray_tui.gpu.process_info import People
from xray_tui.gpu.snapshot import GpuSample, GpuSnapshot

Answer = GpuSample | nvml.Refusal


class Driver:
    """NVML, started. Raises nvml.NoDriver where it cannot be; then a new process has to try, as the library may be new.

    `patience` is how many seconds one GPU may take before it counts as hanging.
    """

    def __init__(self, patience: float) -> None:
        self._version = nvml.start()
        self._people = People()
        self._known: dict[str, Known] = {}
        self._uuids: dict[int, str] = {}
        self._crew: Crew[Answer] = Crew(patience)

    def look(self, now: float) -> GpuSnapshot | None:
        """Every GPU as it is now, after twice the patience at most; None while not one of them answers, because then
        it is the driver that hangs. Raises NoDriver where the driver as a whole has gone.

        The first call, which counts the GPUs, is not guarded: whoever reads us waits for a line, not for ever.
        """
        count = nvml.count()
        if not count:
            raise nvml.NoDriver(NO_GPU)
        answers = self._crew.ask(range(count), partial(self._ask, now=now))
        refusals = [answer for answer in answers.values() if isinstance(answer, nvml.Refusal)]
        if not answers:
            return None
        if len(refusals) == len(answers) and all(refusal.code in DRIVER_GONE for refusal in refusals):
            raise refusals[0].no_driver()
        gpus = tuple(self._rows(count, answers, now))
        self._people.forget_all_but({process.pid for gpu in gpus for process in gpu.processes or ()})
        return GpuSnapshot(gpus=gpus, time=now, driver=self._version)

    def _ask(self, index: int, now: float) -> Answer:
        """One GPU, in a thread of the crew.

        The handle is taken anew each time: one from before a loss or a reload is worthless, and an index may belong to
        another GPU by now, so what we remember hangs on the UUID.
        """
        try:
            handle, uuid = nvml.identify(index)
            self._uuids[index] = uuid
            return nvml.read(index, handle, self._remembered(uuid, index), self._people, now)
        except nvml.FAILURES as error:
            return nvml.Refusal.of(error)

    def _rows(self, count: int, answers: Mapping[int, Answer], now: float) -> list[GpuSample]:
        """A row for each index, also for a GPU that could not be read, as far as it is known from before."""
        rows: list[GpuSample] = []
        here = {answer.uuid for answer in answers.values() if isinstance(answer, GpuSample)}
        for index in range(count):
            answer = answers.get(index)
            if isinstance(answer, GpuSample):
                self._remembered(answer.uuid, index).works()
                rows.append(answer)
                continue
            uuid = self._uuids.get(index, "")
            known = self._remembered("" if uuid in here else uuid, index)
            here.add(known.uuid)
            known.fails(NO_ANSWER if answer is None else why_no_values(answer.code, answer.text), now)
            rows.append(_without_values(index, known))
        return rows

    def _remembered(self, uuid: str, index: int) -> Known:
        """What is known of that GPU; of one that never told its UUID, only the index."""
        return self._known.setdefault(uuid or f"#{index}", Known(uuid, f"GPU {index}"))


def _without_values(index: int, known: Known) -> GpuSample:
    return GpuSample(
        index,
        known.uuid,
        known.name,
        processes_problem=(known.problem or "").partition(":")[0],
        problem=known.problem,
        since=known.since,
    )
