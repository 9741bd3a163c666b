"""Asks the NVIDIA driver, call by call, each guarded alone. The only module that imports pynvml.

Any call may hang in the kernel for ever, so this runs in the helper process only (helper.py), which can be killed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Self

import pynvml

from engine.contract.text import clean
from xray_tui.gpu.errors import ABSENT, DRIVER_GONE, GPU_GONE, Code, why_no_driver, why_no_list
from xray_tui.gpu.gpu_state import Known
from xray_tui.gpu.host_probe import this_machine
from xray_tui.gpu.process_info import People
from xray_tui.gpu.process_types import Holder, merge
from xray_tui.gpu.snapshot import GpuProcess, GpuSample
from xray_tui.gpu.throttle import throttle_words

PROCESSES_EVERY, HEAT_EVERY, LIMITS_EVERY = 2.0, 5.0, 60.0
"""Seconds between two readings of the slower lanes; utilisation, memory, power and clock are read every time.

PCIe throughput is in none: the driver takes 20 ms to count each direction.
"""

_SM_WINDOW = 3.0
"""Seconds of the driver's own samples that a process's SM share is taken from."""

# NVMLLibraryMismatchError is no NVMLError; ValueError is text from the driver that is no UTF-8.
FAILURES = (pynvml.NVMLError, pynvml.NVMLLibraryMismatchError, ValueError)
"""What any call may raise."""


class NoDriver(Exception):
    """NVML cannot be used (any more); the message is one plain sentence for the user."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a GPU or the driver gave nothing: the error's code, and the driver's own word for it."""

    code: int
    text: str

    @classmethod
    def of(cls, error: Exception) -> Self:
        """The refusal that one of FAILURES means."""
        return cls(_code(error), clean(str(error)).rstrip(". ") or "Unknown Error")

    def no_driver(self) -> NoDriver:
        """The error to raise where it concerns all GPUs."""
        return NoDriver(why_no_driver(self.code, self.text, this_machine()))


@dataclass(frozen=True, slots=True)
class _Reading:
    """What one call gave: a value, or the code and text of its error."""

    value: Any = None
    code: int = Code.SUCCESS
    text: str = ""


@dataclass(frozen=True, slots=True)
class _Limits:
    """What hardly ever changes."""

    name: _Reading
    power: _Reading
    mig: _Reading


@dataclass(frozen=True, slots=True)
class _Heat:
    """What changes slowly."""

    temperature: _Reading
    fan: _Reading
    throttling: _Reading


def start() -> str | None:
    """Load the library and start it; the driver's version. Raises NoDriver."""
    try:
        pynvml.nvmlInit()
        version = _ask(("nvmlSystemGetDriverVersion",)).value
    except FAILURES as error:
        raise Refusal.of(error).no_driver() from None
    return clean(version) if version else None


def count() -> int:
    """How many GPUs there are now. Raises NoDriver."""
    try:
        return int(pynvml.nvmlDeviceGetCount())
    except FAILURES as error:
        raise Refusal.of(error).no_driver() from None


def identify(index: int) -> tuple[Any, str]:
    """(handle, UUID) of the GPU that has this index now. Raises one of FAILURES."""
    handle = pynvml.nvmlDeviceGetHandleByIndex(index)
    return handle, clean(pynvml.nvmlDeviceGetUUID(handle))


def read(index: int, handle: Any, known: Known, people: People, now: float) -> GpuSample:
    """The GPU's values, of which the slow ones may be from `known`, which learns its name. Raises one of FAILURES
    where the GPU or the driver has gone; any other error costs the one value."""
    lanes = known.lanes
    limits = lanes.get("limits", LIMITS_EVERY, now, lambda: _limits(handle))
    if limits.name.value:
        known.name = clean(limits.name.value)
    utilisation = _ask(("nvmlDeviceGetUtilizationRates",), handle)
    memory = _memory(handle)
    power = _ask(("nvmlDeviceGetPowerUsage",), handle)
    clock = _ask(("nvmlDeviceGetClockInfo",), handle, pynvml.NVML_CLOCK_SM)
    heat = lanes.get("heat", HEAT_EVERY, now, lambda: _heat(handle))
    processes, unlisted = lanes.get("processes", PROCESSES_EVERY, now, lambda: _processes(handle, people, now))
    return GpuSample(
        index=index,
        uuid=known.uuid,
        name=known.name,
        utilisation=None if utilisation.value is None else int(utilisation.value.gpu),
        memory_used=None if memory.value is None else int(memory.value.used),
        memory_total=None if memory.value is None else int(memory.value.total),
        temperature=heat.temperature.value,
        power=_watts(power.value),
        power_limit=_watts(limits.power.value),
        fan=heat.fan.value,
        sm_clock=clock.value,
        throttle=throttle_words(heat.throttling.value or 0),
        processes=processes,
        processes_problem=unlisted,
        note=_note(
            ("utilisation", utilisation), ("memory", memory), ("power", power), ("clock", clock),
            ("temperature", heat.temperature), ("fan", heat.fan), ("throttling", heat.throttling),
            ("power limit", limits.power),
        ),
        mig=bool(limits.mig.value and limits.mig.value[0]),
    )  # fmt: skip


def _processes(handle: Any, people: People, now: float) -> tuple[tuple[GpuProcess, ...] | None, str | None]:
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
        person = people.of(pid)
        share = None if shares is None else shares.get(pid, 0)
        found.append(GpuProcess(pid, kind, memory, person.name, person.user, person.command, person.started, sm=share))
    return tuple(found), None


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
        except FAILURES as error:
            code = _code(error)
            if code in GPU_GONE or code in DRIVER_GONE:
                raise
            failed = _Reading(code=code, text=Refusal.of(error).text)
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


def _heat(handle: Any) -> _Heat:
    return _Heat(_temperature(handle), _ask(("nvmlDeviceGetFanSpeed",), handle), _throttle(handle))


def _limits(handle: Any) -> _Limits:
    name, mig = _ask(("nvmlDeviceGetName",), handle), _ask(("nvmlDeviceGetMigMode",), handle)
    return _Limits(name, _power_limit(handle), mig)


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


def _note(*readings: tuple[str, _Reading]) -> str | None:
    """The values that exist and could not be read, by the reason."""
    reasons: dict[str, list[str]] = {}
    for name, reading in readings:
        if reading.code and reading.code not in ABSENT:
            reasons.setdefault(reading.text, []).append(name)
    return "; ".join(f"{', '.join(names)}: {reason}" for reason, names in reasons.items()) or None


def _watts(milliwatts: int | None) -> float | None:
    return None if milliwatts is None else milliwatts / 1000


def _code(error: Exception) -> int:
    if isinstance(error, pynvml.NVMLError):
        return int(error.value)
    return Code.FUNCTION_NOT_FOUND if isinstance(error, pynvml.NVMLLibraryMismatchError) else Code.UNKNOWN
