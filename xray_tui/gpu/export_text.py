"""The sentences of 'GPU Status' in the exported board. Pure functions of one snapshot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from engine.contract.text import clean
from engine.contract.units import duration, gibibytes, size
from xray_tui.gpu.in_use import MEMORY, UTILISATION, RecentUse, UnexplainedUse, Use, judge, unexplained_use
from xray_tui.gpu.snapshot import GpuProcess, GpuSample, GpuSnapshot

_NAMED = 3
"""Number of foreign processes listed before "and N more"."""


def sentences(
    snapshot: GpuSnapshot,
    runs_by_pid: Mapping[int, str] = MappingProxyType({}),
    runs_by_gpu: Mapping[str, Sequence[str]] = MappingProxyType({}),
    samples: RecentUse | None = None,
) -> list[str]:
    """The bullets, as Markdown without the "- ". `runs_by_pid` has the run of each of our processes, `runs_by_gpu` the
    runs whose jobs were allocated a GPU, by its UUID. `samples` are the recent samples; without them (`xray-tui
    export`) only this snapshot is judged, and a GPU with unexplained use is not reported as idle.

    A GPU is reported as idle only if its process list could be read, no compute process and no process or job of a run
    is on it, its utilisation is low and listed processes explain its memory. Either utilisation (with MIG) or memory
    (shared with the host) may be unavailable, but not both.
    """
    if snapshot.problem is not None:
        return [clean(snapshot.problem)]
    if not snapshot.gpus:
        return ["No GPU has been seen yet."]

    def line_of(gpu: GpuSample) -> str | None:
        allocated, recent = runs_by_gpu.get(gpu.uuid, ()), (samples or {}).get(gpu.uuid, ())
        return _sentence(gpu, runs_by_pid, allocated, recent, snapshot.time)

    judged = [(gpu, line_of(gpu)) for gpu in snapshot.gpus]
    lines = [line for _, line in judged if line is not None]
    idle = [gpu for gpu, line in judged if line is None]
    if snapshot.stale is not None:  # the current state is unknown
        before = [f"Before that: {line}" for line in lines]
        before = before or [f"Before that there was no training or inference process ({_desktop(idle)})."]
        return [clean(snapshot.stale), *before]
    if not lines:
        return [f"No active CUDA training/inference process detected in latest `nvidia-smi` check ({_desktop(idle)})."]
    if idle:
        names = _joined([f"GPU {gpu.index}" for gpu in idle])
        lines.append(f"{names}: no training or inference process ({_desktop(idle)}).")
    return lines


def _sentence(
    gpu: GpuSample, runs: Mapping[int, str], allocated: Sequence[str], samples: Sequence[UnexplainedUse], now: float
) -> str | None:
    """The GPU's sentence; None if it is certainly idle. `allocated` are the runs whose jobs were allocated this GPU."""
    label = f"GPU {gpu.index} ({clean(gpu.name)})" if gpu.name != f"GPU {gpu.index}" else gpu.name
    if gpu.problem is not None:
        lasting = "" if gpu.since is None or now - gpu.since < 1 else f" (for {duration(now - gpu.since)})"
        return f"{label}: {clean(gpu.problem)}{lasting}."
    label = f"{label}: {_load(gpu)}"
    if gpu.processes is None:
        why = f" ({clean(gpu.processes_problem)})" if gpu.processes_problem else ""
        return f"{label}; process list unavailable{why}."
    ours = list(dict.fromkeys(runs[process.pid] for process in gpu.processes if process.pid in runs))
    foreign = [process for process in gpu.processes if process.computes and process.pid not in runs]
    unlisted = [run for run in dict.fromkeys(allocated) if run not in ours]
    if ours or foreign or unlisted:
        users = [f"running {_joined([_code(run) for run in ours])}"] if ours else []
        users += [f"allocated to {_joined([_code(run) for run in unlisted])}, no process listed"] if unlisted else []
        users += [_foreign(foreign)] if foreign else []
        return f"{label}; {'; '.join(users)}."
    hidden = unexplained_use(gpu).memory
    if hidden > MEMORY:
        return f"{label}; {size(hidden)} are held by no listed process (another container or user?)."
    if _utilisation(gpu) > UTILISATION:
        return f"{label}; busy, although there is no training or inference process ({_desktop([gpu])})."
    if (doubt := _doubt(gpu)) is not None:
        return f"{label}; whether it is idle is unknown ({clean(doubt)})."
    use, words = judge(gpu, samples)
    return None if use is Use.FREE else f"{label}; {words}."


def _utilisation(gpu: GpuSample) -> int:
    """The utilisation in %; if the GPU does not report it, the largest SM share of any of its processes."""
    if gpu.utilisation is not None:
        return gpu.utilisation
    return max((process.sm or 0 for process in gpu.processes or ()), default=0)


def _doubt(gpu: GpuSample) -> str | None:
    """Why a GPU that looks idle may be in use; None if there is no such reason."""
    missing = [name for name, value in (("utilisation", gpu.utilisation), ("memory", gpu.memory_used)) if value is None]
    if gpu.note is not None and any(name in gpu.note for name in missing):
        return gpu.note
    return "its driver reports neither utilisation nor memory" if len(missing) == 2 else None


def _load(gpu: GpuSample) -> str:
    utilisation = "utilisation n/a" if gpu.utilisation is None else f"{gpu.utilisation} % utilisation"
    if gpu.memory_used is None or gpu.memory_total is None:
        return f"{utilisation}, memory n/a"
    return f"{utilisation}, {gibibytes(gpu.memory_used)} of {gibibytes(gpu.memory_total)} GiB"


def _foreign(processes: Sequence[GpuProcess]) -> str:
    """Compute processes that belong to no run of this folder: their number, and the largest ones."""
    named = [_process(process) for process in processes[:_NAMED]]
    if len(processes) > _NAMED:
        named.append(f"{len(processes) - _NAMED} more")
    count = "1 process" if len(processes) == 1 else f"{len(processes)} processes"
    return f"{count} of no known run: {_joined(named)}"


def _process(process: GpuProcess) -> str:
    name = f"{_code(process.name)} " if process.name else ""
    memory = "memory n/a" if process.memory is None else size(process.memory)
    return f"{name}(pid {process.pid}, `{process.kind}`, {memory})"


def _desktop(gpus: Sequence[GpuSample]) -> str:
    """The types of the processes on GPUs without a compute process."""
    kinds = sorted({process.kind for gpu in gpus for process in gpu.processes or ()})
    if not kinds:
        return "no process"
    return f"only {_joined([f'`{kind}`' for kind in kinds])} desktop/system processes"


def _joined(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _code(text: str) -> str:
    """The text as Markdown code, with a fence longer than any run of backticks in it."""
    text = clean(text)
    fence = "`"
    while fence in text:
        fence += "`"
    return f"{fence} {text} {fence}" if len(fence) > 1 else f"`{text}`"
