"""Reads GPU values from the NVIDIA driver; an error of one call costs one value. The only module that imports pynvml.

Any call may hang in the kernel for ever, so this runs only in the helper process (helper_main.py), which can be killed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Self

import pynvml

from engine.contract.text import clean
from xray_tui.gpu.errors import ABSENT, DRIVER_GONE, GPU_GONE, Code, why_no_driver, why_no_list
from xray_tui.gpu.gpu_state import GpuState
from xray_tui.gpu.host_probe import this_machine
from xray_tui.gpu.process_info import ProcessInfoCache
from xray_tui.gpu.process_types import Entry, merge
from xray_tui.gpu.snapshot import GpuProcess, GpuSample
from xray_tui.gpu.throttle import throttle_words

PROCESSES_EVERY, HEAT_EVERY, LIMITS_EVERY = 2.0, 5.0, 60.0
"""Seconds between two readings of slowly changing values; utilisation, memory, power and clock are read every time.

PCIe throughput is not read: the driver takes 20 ms to measure each direction.
"""

_SM_WINDOW = 3.0
"""Length in seconds of the window of driver samples for a process's SM share."""

# NVMLLibraryMismatchError is not an NVMLError; ValueError is raised for driver text that is not UTF-8.
FAILURES = (pynvml.NVMLError, pynvml.NVMLLibraryMismatchError, ValueError)
"""Exceptions that any call may raise."""


class NoDriver(Exception):
    """NVML cannot be used; the message is a sentence for the user."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Error code and message of the driver, for a GPU or for the driver as a whole."""

    code: int
    text: str

    @classmethod
    def of(cls, error: Exception) -> Self:
        """The code and message of one of FAILURES."""
        return cls(_code(error), clean(str(error)).rstrip(". ") or "Unknown Error")

    def no_driver(self) -> NoDriver:
        """The exception for an error that affects all GPUs."""
        return NoDriver(why_no_driver(self.code, self.text, this_machine()))


@dataclass(frozen=True, slots=True)
class _Reading:
    """Result of one call: a value, or the code and text of its error."""

    value: Any = None
    code: int = Code.SUCCESS
    text: str = ""


@dataclass(frozen=True, slots=True)
class _Limits:
    """Values read every LIMITS_EVERY seconds."""

    name: _Reading
    power: _Reading
    mig: _Reading


@dataclass(frozen=True, slots=True)
class _Heat:
    """Values read every HEAT_EVERY seconds."""

    temperature: _Reading
    fan: _Reading
    throttling: _Reading


def start() -> str | None:
    """Load and start NVML; return the driver's version. Raises NoDriver."""
    try:
        pynvml.nvmlInit()
        version = _call(("nvmlSystemGetDriverVersion",)).value
    except FAILURES as error:
        raise Refusal.of(error).no_driver() from None
    return clean(version) if version else None


def count() -> int:
    """Number of GPUs now. Raises NoDriver."""
    try:
        return int(pynvml.nvmlDeviceGetCount())
    except FAILURES as error:
        raise Refusal.of(error).no_driver() from None


def identify(index: int) -> tuple[Any, str]:
    """(handle, UUID) of the GPU with this index now. Raises one of FAILURES."""
    handle = pynvml.nvmlDeviceGetHandleByIndex(index)
    return handle, clean(pynvml.nvmlDeviceGetUUID(handle))


def read(index: int, handle: Any, state: GpuState, infos: ProcessInfoCache, now: float) -> GpuSample:
    """The GPU's values; slowly changing ones may come from the cache in `state`, whose name is updated. Raises one of
    FAILURES if the GPU or the driver is gone; after any other error one value is None."""
    cache = state.cache
    limits = cache.get("limits", LIMITS_EVERY, now, lambda: _limits(handle))
    if limits.name.value:
        state.name = clean(limits.name.value)
    utilisation = _call(("nvmlDeviceGetUtilizationRates",), handle)
    memory = _memory(handle)
    power = _call(("nvmlDeviceGetPowerUsage",), handle)
    clock = _call(("nvmlDeviceGetClockInfo",), handle, pynvml.NVML_CLOCK_SM)
    heat = cache.get("heat", HEAT_EVERY, now, lambda: _heat(handle))
    processes, problem = cache.get("processes", PROCESSES_EVERY, now, lambda: _processes(handle, infos, now))
    return GpuSample(
        index=index,
        uuid=state.uuid,
        name=state.name,
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
        processes_problem=problem,
        note=_note(
            ("utilisation", utilisation), ("memory", memory), ("power", power), ("clock", clock),
            ("temperature", heat.temperature), ("fan", heat.fan), ("throttling", heat.throttling),
            ("power limit", limits.power),
        ),
        mig=bool(limits.mig.value and limits.mig.value[0]),
    )  # fmt: skip


def _processes(handle: Any, infos: ProcessInfoCache, now: float) -> tuple[tuple[GpuProcess, ...] | None, str | None]:
    """(processes, None), or (None, why they cannot be listed)."""
    lists = {}
    for list_name in ("Compute", "Graphics", "MPSCompute"):
        base = f"nvmlDeviceGet{list_name}RunningProcesses"
        reading = _call((f"{base}_v3", f"{base}_v2"), handle)  # _v3 is missing in drivers before 510
        # Lists of graphics and MPS processes are optional; the list of compute processes is required.
        if reading.code and (list_name == "Compute" or reading.code not in ABSENT):
            return None, why_no_list(reading.code, reading.text)
        lists[list_name] = [Entry(int(entry.pid), entry.usedGpuMemory) for entry in reading.value or ()]
    merged = merge(lists["Compute"], lists["Graphics"], lists["MPSCompute"])
    shares = _sm_shares(handle, now) if merged else None
    processes = []
    for pid, kind, memory in merged:
        info = infos.of(pid)
        share = None if shares is None else shares.get(pid, 0)
        processes.append(GpuProcess(pid, kind, memory, info.name, info.user, info.command, info.started, sm=share))
    return tuple(processes), None


def _call(calls: Sequence[str], *arguments: Any) -> _Reading:
    """The result of the first of these calls (newest first) that succeeds, or the error of the last one.

    Raises one of FAILURES if the GPU or the driver is gone, because every further call would fail too.
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
    """Memory by version 2 of the call, which does not count the driver's reserve as used, else by version 1."""
    newer = _call(("nvmlDeviceGetMemoryInfo",), handle, pynvml.nvmlMemory_v2)
    return newer if newer.value is not None else _call(("nvmlDeviceGetMemoryInfo",), handle)


def _temperature(handle: Any) -> _Reading:
    return _call(("nvmlDeviceGetTemperatureV", "nvmlDeviceGetTemperature"), handle, pynvml.NVML_TEMPERATURE_GPU)


def _throttle(handle: Any) -> _Reading:
    return _call(("nvmlDeviceGetCurrentClocksEventReasons", "nvmlDeviceGetCurrentClocksThrottleReasons"), handle)


def _power_limit(handle: Any) -> _Reading:
    return _call(("nvmlDeviceGetEnforcedPowerLimit", "nvmlDeviceGetPowerManagementLimit"), handle)


def _heat(handle: Any) -> _Heat:
    return _Heat(_temperature(handle), _call(("nvmlDeviceGetFanSpeed",), handle), _throttle(handle))


def _limits(handle: Any) -> _Limits:
    name, mig = _call(("nvmlDeviceGetName",), handle), _call(("nvmlDeviceGetMigMode",), handle)
    return _Limits(name, _power_limit(handle), mig)


def _sm_shares(handle: Any, now: float) -> dict[int, int] | None:
    """SM share in % by pid; pids without work in the window are absent. None if the GPU does not report shares."""
    reading = _call(("nvmlDeviceGetProcessUtilization",), handle, max(0, int((now - _SM_WINDOW) * 1e6)))
    if reading.code == Code.NOT_FOUND or (reading.code == Code.SUCCESS and reading.value is None):
        return {}  # nothing has run in the window
    if reading.code:
        return None
    newest: dict[int, tuple[int, int]] = {}
    for sample in reading.value:
        newest[int(sample.pid)] = max(newest.get(int(sample.pid), (0, 0)), (int(sample.timeStamp), int(sample.smUtil)))
    return {pid: share for pid, (_, share) in newest.items()}


def _note(*readings: tuple[str, _Reading]) -> str | None:
    """Names of the supported values that could not be read, grouped by reason."""
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
