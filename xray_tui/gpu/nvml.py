"""Asks the NVIDIA driver, call by call, each guarded alone. The only module that imports pynvml.

Any call may hang in the kernel for ever, so this runs in the helper process only (helper.py), which can be killed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pynvml

from engine.contract.text import clean
from xray_tui.gpu.kinds import Holder, merge
from xray_tui.gpu.lanes import Lanes
from xray_tui.gpu.machine import this_machine
from xray_tui.gpu.people import People
from xray_tui.gpu.problems import (
    ABSENT,
    DRIVER_GONE,
    GPU_GONE,
    NO_GPU,
    Code,
    why_no_driver,
    why_no_list,
    why_no_values,
)
from xray_tui.gpu.sample import GpuProcess, GpuSample, GpuSnapshot
from xray_tui.gpu.throttle import throttle_words

PROCESSES_EVERY, HEAT_EVERY, LIMITS_EVERY = 2.0, 5.0, 60.0
"""Seconds between two readings of the slower lanes; utilisation, memory, power and clock are read every time."""

_SM_WINDOW = 3.0
"""Seconds of the driver's own samples that a process's SM share is taken from."""

# NVMLLibraryMismatchError is no NVMLError; ValueError is text from the driver that is no UTF-8.
_FAILURES = (pynvml.NVMLError, pynvml.NVMLLibraryMismatchError, ValueError)


class NoDriver(Exception):
    """NVML cannot be used (any more); the message is one plain sentence for the user."""


@dataclass(slots=True)
class _Known:
    """What stays true of a GPU from one look to the next, also while it is lost."""

    uuid: str
    name: str
    lanes: Lanes = field(default_factory=Lanes)
    problem: str | None = None
    since: float | None = None


@dataclass(frozen=True, slots=True)
class _Reading:
    """What one call gave: a value, or the code and text of its error."""

    value: Any = None
    code: int = Code.SUCCESS
    text: str = ""


class Driver:
    """NVML, started. Raises NoDriver where it cannot be; then a new process has to try (a new library may be there)."""

    def __init__(self) -> None:
        try:
            pynvml.nvmlInit()
            version = _ask(("nvmlSystemGetDriverVersion",)).value
        except _FAILURES as error:
            raise NoDriver(_no_driver(error)) from None
        self._version = clean(version) if version else None
        self._people = People()
        self._known: dict[str, _Known] = {}
        self._uuids: dict[int, str] = {}

    def look(self, now: float) -> GpuSnapshot:
        """Every GPU as it is now. Raises NoDriver where the driver as a whole has gone."""
        try:
            count = pynvml.nvmlDeviceGetCount()
        except _FAILURES as error:
            raise NoDriver(_no_driver(error)) from None
        if not count:
            raise NoDriver(NO_GPU)
        gpus = self._gpus(count, now)
        self._people.forget_all_but({process.pid for gpu in gpus for process in gpu.processes or ()})
        return GpuSnapshot(gpus=tuple(gpus), time=now, driver=self._version)

    def _gpus(self, count: int, now: float) -> list[GpuSample]:
        """A row for each index. Handles are taken anew each time: one from before a loss or a reload is worthless, and
        an index may belong to another GPU by now, so what we remember hangs on the UUID."""
        found = [_identify(index) for index in range(count)]
        before, here = self._uuids, {uuid for _, uuid, _ in found if uuid}
        self._uuids = {}
        rows: list[GpuSample] = []
        errors: list[Exception] = []
        for index, (handle, uuid, error) in enumerate(found):
            last = before.get(index)
            known = self._remember(uuid or (last if last not in here else None), index)
            if error is None:
                try:
                    rows.append(self._read(index, handle, known, now))
                    known.problem = known.since = None
                except _FAILURES as gone:
                    error = gone
            if error is not None:
                rows.append(_without_values(index, known, error, now))
                errors.append(error)
        if len(errors) == count and all(_code(error) in DRIVER_GONE for error in errors):
            raise NoDriver(_no_driver(errors[0]))
        return rows

    def _remember(self, uuid: str | None, index: int) -> _Known:
        """What is known of that GPU; of one that never told its UUID, only the index."""
        if uuid:
            self._uuids[index] = uuid
        return self._known.setdefault(uuid or f"#{index}", _Known(uuid or "", f"GPU {index}"))

    def _read(self, index: int, handle: Any, known: _Known, now: float) -> GpuSample:
        lanes = known.lanes
        name = lanes.get("name", LIMITS_EVERY, now, lambda: _ask(("nvmlDeviceGetName",), handle)).value
        if name:
            known.name = clean(name)
        utilisation = _ask(("nvmlDeviceGetUtilizationRates",), handle)
        memory = _memory(handle)
        power = _ask(("nvmlDeviceGetPowerUsage",), handle)
        clock = _ask(("nvmlDeviceGetClockInfo",), handle, pynvml.NVML_CLOCK_SM)
        heat = lanes.get("temperature", HEAT_EVERY, now, lambda: _temperature(handle))
        fan = lanes.get("fan", HEAT_EVERY, now, lambda: _ask(("nvmlDeviceGetFanSpeed",), handle))
        held = lanes.get("throttle", HEAT_EVERY, now, lambda: _throttle(handle))
        limit = lanes.get("limit", LIMITS_EVERY, now, lambda: _power_limit(handle))
        processes, unlisted = lanes.get("processes", PROCESSES_EVERY, now, lambda: self._processes(handle, now))
        readings = {
            "utilisation": utilisation, "memory": memory, "power": power, "clock": clock, "temperature": heat,
            "fan": fan, "throttling": held, "power limit": limit,
        }  # fmt: skip
        return GpuSample(
            index=index,
            uuid=known.uuid,
            name=known.name,
            utilisation=None if utilisation.value is None else int(utilisation.value.gpu),
            memory_used=None if memory.value is None else int(memory.value.used),
            memory_total=None if memory.value is None else int(memory.value.total),
            temperature=heat.value,
            power=_watts(power.value),
            power_limit=_watts(limit.value),
            fan=fan.value,
            sm_clock=clock.value,
            throttle=throttle_words(held.value or 0),
            processes=processes,
            processes_problem=unlisted,
            note=_note(readings),
        )

    def _processes(self, handle: Any, now: float) -> tuple[tuple[GpuProcess, ...] | None, str | None]:
        """The processes, or None and why they cannot be listed."""
        lists = {}
        for list_name in ("Compute", "Graphics", "MPSCompute"):
            base = f"nvmlDeviceGet{list_name}RunningProcesses"
            reading = _ask((f"{base}_v3", f"{base}_v2"), handle)  # _v3 is missing in drivers before 510
            # A GPU without graphics or MPS has no such list; without a compute list nothing can be said.
            if reading.code and (list_name == "Compute" or reading.code not in ABSENT):
                return None, why_no_list(reading.code, reading.text)
            lists[list_name] = [Holder(int(entry.pid), entry.usedGpuMemory) for entry in reading.value or ()]
        merged = merge(lists["Compute"], lists["Graphics"], lists["MPSCompute"])
        shares = _sm_shares(handle, now) if merged else None
        found = []
        for pid, kind, memory in merged:
            person = self._people.of(pid)
            share = None if shares is None else shares.get(pid, 0)
            found.append(
                GpuProcess(pid, kind, memory, person.name, person.user, person.command, person.started, sm=share)
            )
        return tuple(found), None


def _identify(index: int) -> tuple[Any, str | None, Exception | None]:
    """(handle, UUID, None) of the GPU at that index, or the error in its place."""
    try:
        handle = pynvml.nvmlDeviceGetHandleByIndex(index)
        return handle, clean(pynvml.nvmlDeviceGetUUID(handle)), None
    except _FAILURES as error:
        return None, None, error


def _without_values(index: int, known: _Known, error: Exception, now: float) -> GpuSample:
    problem = why_no_values(_code(error), _text(error))
    if known.problem != problem:
        known.problem, known.since = problem, now
    known.lanes = Lanes()  # when it comes back, nothing from before counts
    return GpuSample(
        index, known.uuid, known.name, processes_problem=problem.partition(":")[0], problem=problem, since=known.since
    )


def _ask(calls: Sequence[str], *arguments: Any) -> _Reading:
    """The first of these calls, newest first, that answers; where none does, the last one's error.

    Raises only where the GPU or the driver has gone, so that the rest of the calls is not tried.
    """
    failed = _Reading(code=Code.FUNCTION_NOT_FOUND, text="Function Not Found")
    for name in calls:
        call: Callable[..., Any] | None = getattr(pynvml, name, None)
        if call is None:
            continue
        try:
            return _Reading(call(*arguments))
        except _FAILURES as error:
            code = _code(error)
            if code in GPU_GONE or code in DRIVER_GONE:
                raise
            failed = _Reading(code=code, text=_text(error))
    return failed


def _memory(handle: Any) -> _Reading:
    """Memory by version 2 of the call, which keeps the driver's reserve apart from what is used, else by version 1."""
    newer = _ask(("nvmlDeviceGetMemoryInfo",), handle, pynvml.nvmlMemory_v2)
    return newer if newer.value is not None else _ask(("nvmlDeviceGetMemoryInfo",), handle)


def _temperature(handle: Any) -> _Reading:
    """NVIDIA is replacing the one call with the other; drivers of today have either or both."""
    return _ask(("nvmlDeviceGetTemperatureV", "nvmlDeviceGetTemperature"), handle, pynvml.NVML_TEMPERATURE_GPU)


def _throttle(handle: Any) -> _Reading:
    return _ask(("nvmlDeviceGetCurrentClocksEventReasons", "nvmlDeviceGetCurrentClocksThrottleReasons"), handle)


def _power_limit(handle: Any) -> _Reading:
    return _ask(("nvmlDeviceGetEnforcedPowerLimit", "nvmlDeviceGetPowerManagementLimit"), handle)


def _sm_shares(handle: Any, now: float) -> dict[int, int] | None:
    """SM % by pid; a pid that is not in it did nothing. None where the GPU does not tell."""
    reading = _ask(("nvmlDeviceGetProcessUtilization",), handle, max(0, int((now - _SM_WINDOW) * 1e6)))
    if reading.code == Code.NOT_FOUND or (reading.code == Code.SUCCESS and reading.value is None):
        return {}  # nothing has run in the window
    if reading.code:
        return None
    newest: dict[int, tuple[int, int]] = {}
    for sample in reading.value:
        newest[int(sample.pid)] = max(newest.get(int(sample.pid), (0, 0)), (int(sample.timeStamp), int(sample.smUtil)))
    return {pid: share for pid, (_, share) in newest.items()}


def _note(readings: dict[str, _Reading]) -> str | None:
    """The values that exist and could not be read, by the reason."""
    reasons: dict[str, list[str]] = {}
    for name, reading in readings.items():
        if reading.code and reading.code not in ABSENT:
            reasons.setdefault(reading.text, []).append(name)
    return "; ".join(f"{', '.join(names)}: {reason}" for reason, names in reasons.items()) or None


def _watts(milliwatts: int | None) -> float | None:
    return None if milliwatts is None else milliwatts / 1000


def _code(error: Exception) -> int:
    if isinstance(error, pynvml.NVMLError):
        return int(error.value)
    return Code.FUNCTION_NOT_FOUND if isinstance(error, pynvml.NVMLLibraryMismatchError) else Code.UNKNOWN


def _text(error: Exception) -> str:
    return clean(str(error)).rstrip(". ") or "Unknown Error"


def _no_driver(error: Exception) -> str:
    return why_no_driver(_code(error), _text(error), this_machine())
