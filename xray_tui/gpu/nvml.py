"""Reads GPU values from the NVIDIA driver. If a call fails, only its own value is lost.

Any call may hang in the kernel forever, so this runs only in the helper process (helper_main.py), which can be killed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Self

import pynvml

from engine.contract.text import clean
from xray_tui.gpu.errors import ABSENT, DRIVER_GONE, GPU_GONE, why_no_driver, why_no_list
from xray_tui.gpu.host_probe import driver_files
from xray_tui.gpu.process_info import ProcessInfoCache
from xray_tui.gpu.snapshot import GpuProcess, GpuSample

PROCESSES_EVERY = 2.0
"""Seconds between two readings of the process lists."""

_HEAT = pynvml.NVML_TEMPERATURE_GPU
_VALUES: Mapping[str, tuple[float, Sequence[tuple[Any, ...]]]] = {
    "name": (60.0, [("Name",)]),
    "MIG": (60.0, [("MigMode",)]),
    "utilisation": (0.0, [("UtilizationRates",)]),
    "memory": (0.0, [("MemoryInfo", pynvml.nvmlMemory_v2), ("MemoryInfo",)]),  # v1 counts the driver's reserve as used
    "power": (0.0, [("PowerUsage",)]),
    "clock": (0.0, [("ClockInfo", pynvml.NVML_CLOCK_SM)]),
    "temperature": (5.0, [("TemperatureV", _HEAT), ("Temperature", _HEAT)]),
    "fan": (5.0, [("FanSpeed",)]),
    "throttling": (5.0, [("CurrentClocksEventReasons",), ("CurrentClocksThrottleReasons",)]),
    "power limit": (60.0, [("EnforcedPowerLimit",), ("PowerManagementLimit",)]),
}
"""(seconds between two readings, NVML calls with their arguments, newest first) of each value.

The name comes first, so that it is known if a later call hangs. PCIe throughput is not read: the driver takes 20 ms to
measure each direction.
"""

_EARLY = 0.95
"""Fraction of the interval after which a value expires, because a tick may come a few milliseconds early."""

_SM_WINDOW = 3.0
"""Length in seconds of the window of driver samples for a process's SM share."""

_SLOWDOWNS = {
    pynvml.nvmlClocksThrottleReasonHwThermalSlowdown: "hardware thermal slowdown",
    pynvml.nvmlClocksThrottleReasonSwThermalSlowdown: "thermal slowdown",
    pynvml.nvmlClocksThrottleReasonHwPowerBrakeSlowdown: "power brake",
}

# NVMLLibraryMismatchError is not an NVMLError; ValueError is raised for driver text that is not UTF-8.
FAILURES = (pynvml.NVMLError, pynvml.NVMLLibraryMismatchError, ValueError)
"""Exceptions that any call may raise."""


class NoDriver(Exception):
    """NVML cannot be used; the message is a sentence for the user."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Error code and message of the driver, for a value, a GPU or the driver as a whole."""

    code: int
    text: str

    @classmethod
    def of(cls, error: Exception) -> Self:
        """The code and message of one of FAILURES."""
        mismatch = isinstance(error, pynvml.NVMLLibraryMismatchError)
        code = pynvml.NVML_ERROR_FUNCTION_NOT_FOUND if mismatch else pynvml.NVML_ERROR_UNKNOWN
        return cls(int(getattr(error, "value", code)), clean(str(error)).rstrip(". ") or "Unknown Error")

    def no_driver(self) -> NoDriver:
        """The exception for an error that affects all GPUs."""
        return NoDriver(why_no_driver(self.code, self.text, driver_files()))


class GpuState:
    """What the helper remembers about a GPU: its UUID (empty if it could never be read), its name, and values that are
    not read for every snapshot."""

    def __init__(self, uuid: str, name: str) -> None:
        self.uuid, self.name = uuid, name
        self._cached: dict[str, tuple[float, Any]] = {}

    def cached(self, key: str, every: float, now: float, read: Callable[[], Any]) -> Any:
        """The cached value of `key`; read again if older than `every` seconds. Raises the exceptions of `read`."""
        read_at, value = self._cached.get(key, (now - every, None))
        if not 0 <= now - read_at < every * _EARLY:
            value = read()
            self._cached[key] = (now, value)
        return value


def start() -> str:
    """Load and start NVML; return the driver's version. Raises NoDriver."""
    try:
        pynvml.nvmlInit()
        return clean(pynvml.nvmlSystemGetDriverVersion())
    except FAILURES as error:
        raise Refusal.of(error).no_driver() from None


def count() -> int:
    """Number of GPUs now. Raises NoDriver."""
    try:
        return int(pynvml.nvmlDeviceGetCount())
    except FAILURES as error:
        raise Refusal.of(error).no_driver() from None


def identify(index: int) -> tuple[Any, str]:
    """(handle, UUID) of the GPU that now has this index. Raises one of FAILURES."""
    handle = pynvml.nvmlDeviceGetHandleByIndex(index)
    return handle, clean(pynvml.nvmlDeviceGetUUID(handle))


def read(index: int, handle: Any, state: GpuState, infos: ProcessInfoCache, now: float) -> GpuSample:
    """The GPU's values; slowly changing ones may come from the cache in `state`, whose name is updated. Raises one of
    FAILURES if the GPU or the driver is gone; after any other error only the affected value is None."""
    values: dict[str, Any] = {}
    unread: dict[str, list[str]] = {}  # names of the supported values that could not be read, by reason
    for name, (every, calls) in _VALUES.items():
        value = state.cached(name, every, now, partial(_call, handle, calls))
        if isinstance(value, Refusal):
            if value.code not in ABSENT:
                unread.setdefault(value.text, []).append(name)
            value = None
        values[name] = value
        if name == "name" and value:
            state.name = clean(value)
    utilisation, memory, mig = values["utilisation"], values["memory"], values["MIG"]
    processes, problem = state.cached("processes", PROCESSES_EVERY, now, partial(_processes, handle, infos, now))
    return GpuSample(
        index=index,
        uuid=state.uuid,
        name=state.name,
        utilisation=None if utilisation is None else int(utilisation.gpu),
        memory_used=None if memory is None else int(memory.used),
        memory_total=None if memory is None else int(memory.total),
        temperature=values["temperature"],
        power=_watts(values["power"]),
        power_limit=_watts(values["power limit"]),
        fan=values["fan"],
        sm_clock=values["clock"],
        throttle=throttle_words(values["throttling"] or 0),
        processes=processes,
        processes_problem=problem,
        note="; ".join(f"{', '.join(names)}: {reason}" for reason, names in unread.items()) or None,
        mig=bool(mig and mig[0]),
    )


def throttle_words(reasons: int) -> tuple[str, ...]:
    """The reasons in NVML's bit mask that concern heat or hardware; a power cap and an idle clock are normal.

    The bit "hardware slowdown" is set together with its cause, so it is reported only if no cause is set.
    """
    causes = tuple(word for bit, word in _SLOWDOWNS.items() if reasons & bit)
    if not causes and reasons & pynvml.nvmlClocksThrottleReasonHwSlowdown:
        return ("hardware slowdown",)
    return causes


def merge(lists: Mapping[str, Iterable[tuple[int, int | None]]]) -> list[GpuProcess]:
    """One process per pid, the largest memory first. `lists` has the (pid, bytes or None) entries of each of the
    driver's lists, by its type ("M", "C", "G"); a pid in several lists gets all their types, such as "C+G".

    Entries of a pid in one list are MIG instances, so they are summed; entries in several lists are the same memory, so
    the largest counts.
    """
    sizes: dict[int, dict[str, list[int]]] = {}
    for letter, entries in lists.items():
        for pid, memory in entries:
            sizes.setdefault(pid, {}).setdefault(letter, []).extend([] if memory is None else [memory])
    processes = [
        GpuProcess(pid, "+".join(by_list), max((sum(known) for known in by_list.values() if known), default=None))
        for pid, by_list in sizes.items()
    ]
    return sorted(processes, key=lambda process: (-(process.memory or 0), process.pid))


def _processes(handle: Any, infos: ProcessInfoCache, now: float) -> tuple[tuple[GpuProcess, ...] | None, str | None]:
    """(processes, None), or (None, why they cannot be listed)."""
    lists = {}
    for letter, name in (("M", "MPSCompute"), ("C", "Compute"), ("G", "Graphics")):
        entries = _call(handle, [(f"{name}RunningProcesses_v3",), (f"{name}RunningProcesses_v2",)])  # v3: driver 510
        if isinstance(entries, Refusal):
            # Lists of graphics and MPS processes are optional; the list of compute processes is required.
            if letter == "C" or entries.code not in ABSENT:
                return None, why_no_list(entries.code, entries.text)
            entries = ()
        lists[letter] = [(int(entry.pid), entry.usedGpuMemory) for entry in entries]
    merged = merge(lists)
    shares = _sm_shares(handle, now) if merged else None
    return tuple(
        replace(process, sm=None if shares is None else shares.get(process.pid, 0), **infos.of(process.pid))
        for process in merged
    ), None


def _sm_shares(handle: Any, now: float) -> dict[int, int] | None:
    """SM share in % by pid; pids without work in the window are absent. None if the GPU does not report shares."""
    samples = _call(handle, [("ProcessUtilization", max(0, int((now - _SM_WINDOW) * 1e6)))])
    if isinstance(samples, Refusal):
        return {} if samples.code == pynvml.NVML_ERROR_NOT_FOUND else None  # not found: nothing ran in the window
    newest: dict[int, tuple[int, int]] = {}
    for sample in samples or ():
        newest[int(sample.pid)] = max(newest.get(int(sample.pid), (0, 0)), (int(sample.timeStamp), int(sample.smUtil)))
    return {pid: share for pid, (_, share) in newest.items()}


def _call(handle: Any, calls: Iterable[tuple[Any, ...]]) -> Any:
    """The result of the first of these calls that succeeds, or the Refusal of the last one.

    Raises one of FAILURES if the GPU or the driver is gone, because every further call would fail too.
    """
    refusal = Refusal(pynvml.NVML_ERROR_FUNCTION_NOT_FOUND, "Function Not Found")
    for name, *arguments in calls:
        if (call := getattr(pynvml, f"nvmlDeviceGet{name}", None)) is None:
            continue
        try:
            return call(handle, *arguments)
        except FAILURES as error:
            refusal = Refusal.of(error)
            if refusal.code in GPU_GONE | DRIVER_GONE:
                raise
    return refusal


def _watts(milliwatts: int | None) -> float | None:
    return None if milliwatts is None else milliwatts / 1000
