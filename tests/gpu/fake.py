"""A machine with the stand-in NVML of ../shared, and what its samplers have said."""

from __future__ import annotations

import contextlib
import os
import queue
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

import psutil

from xray_tui.gpu.backoff import Backoff
from xray_tui.gpu.snapshot import GpuSnapshot

QUICK = Backoff(silence=10.0, restart=0.05, longest_restart=0.1, absent=0.3, longest_absent=0.3)
"""Short pauses between helpers, because a test waits for them; patience for a busy machine."""

IMPATIENT = replace(QUICK, silence=1.0, hang=0.1)
"""For the tests in which the driver hangs."""

ONE_HANGS = replace(QUICK, hang=0.2)
"""For those in which one GPU hangs: the helper must outlive that, also on a busy machine."""

UTILISATION, HANDLE = "nvmlDeviceGetUtilizationRates", "nvmlDeviceGetHandleByIndex_v2"
"""The calls that can hang for one GPU: one after it has told who it is, and one before."""


@dataclass
class FakeNvml:
    """An NVML whose machine is described by a scenario file."""

    library: Path
    scenario: Path

    def becomes(self, *parts: str) -> None:
        """Change the machine under whatever runs on it."""
        _write(self.scenario, parts)

    def hangs(self, call: str, *gpus: int) -> None:
        """That call does not come back for these GPUs until they are named no more; needs the library built for it."""
        _write(self._hanging, [f"{call} {index}" for index in gpus])

    @property
    def _hanging(self) -> Path:
        return self.scenario.with_name("hanging.txt")

    @property
    def environment(self) -> dict[str, str]:
        """The environment in which a process finds this NVML."""
        return {
            **os.environ,
            "LD_LIBRARY_PATH": str(self.library),
            "FAKENVML_SCENARIO": str(self.scenario),
            "FAKENVML_HANGS": str(self._hanging),
            "FAKENVML_COUNTS": str(self.counts),
        }

    @property
    def counts(self) -> Path:
        """Where a process writes, at its end, how often it made each call."""
        return self.scenario.with_name("counts.txt")


def _write(path: Path, lines: Iterable[str]) -> None:
    temporary = path.with_suffix(".new")
    temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")
    temporary.replace(path)


def gpu(index: int = 0, *lines: str) -> str:
    """One [gpu] of a scenario: an idle card, unless the lines say otherwise."""
    return "\n".join(["[gpu]", "name = NVIDIA RTX A4000", f"uuid = GPU-{index:08d}", "mem_used = 200MiB", *lines])


@dataclass
class Seen:
    """Everything that a sampler has posted, in order."""

    snapshots: queue.Queue[GpuSnapshot] = field(default_factory=queue.Queue)

    def until(self, holds: Callable[[GpuSnapshot], bool], timeout: float = 30.0) -> GpuSnapshot:
        """Wait for the first snapshot that holds; a condition on a GPU that is not there does not."""
        deadline = time.monotonic() + timeout
        last = None
        while (left := deadline - time.monotonic()) > 0:
            try:
                last = self.snapshots.get(timeout=left)
            except queue.Empty:
                break
            with contextlib.suppress(IndexError):
                if holds(last):
                    return last
        raise AssertionError(f"not seen in {timeout} s; the last one was {last}")


def helpers() -> list[psutil.Process]:
    """The helper processes of this test process that still live."""
    found = []
    for process in psutil.Process().children():
        try:
            if "xray_tui.gpu.helper_main" in process.cmdline() and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.NoSuchProcess:
            continue
    return found


def wait_until(holds: Callable[[], bool], timeout: float = 30.0) -> None:
    deadline = time.monotonic() + timeout
    while not holds():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.01)
