"""A job, its state, and its job.json.

Only the process that holds the job's supervisor lock (`.sup`) writes job.json: the launcher, the supervisor, or, after
the supervisor's death, the process that recovers the job.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.contract.files import write_json
from engine.contract.formats import newer
from engine.contract.names import JOB
from engine.contract.text import clean
from xray_tui.jobs.model import code_version
from xray_tui.jobs.model.code_version import Source
from xray_tui.jobs.model.gpu_policy import GpuPolicy, from_values
from xray_tui.system.process import Process
from xray_tui.system.safe_files import FILE_MODE, LARGEST

if TYPE_CHECKING:
    from xray_tui.jobs.model.request import Request

SCHEMA = "xray-job/1"
GRACE = 30.0
"""Seconds between SIGTERM and SIGKILL: saving a large model's checkpoint on a slow disk takes long."""

KINDS = ("train", "evaluate", "blend", "command")
PRIORITY = 50

CPU_SLOTS = 2
"""Maximum number of CPU jobs at once on a machine. With one, a short evaluation would wait hours for a training."""


class State(StrEnum):
    """queued -> starting -> running -> succeeded | failed | stopped; lost if there is no end record. A waiting job may
    also be held by its owner, or blocked because a job in `spec.after` did not succeed."""

    QUEUED = "queued"
    HELD = "held"
    BLOCKED = "blocked"
    STARTING = "starting"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    STOPPED = "stopped"
    LOST = "lost"

    @property
    def waiting(self) -> bool:
        """Whether the job has not started: in the queue, held or blocked."""
        return self in (State.QUEUED, State.HELD, State.BLOCKED)

    @property
    def ended(self) -> bool:
        return not self.waiting and self not in (State.STARTING, State.RUNNING)


@dataclass(frozen=True, slots=True)
class JobSpec:
    kind: str
    """train, evaluate, blend, or command (a program of the user); "?" if job.json cannot be read."""
    run: str
    """Run name: a path relative to the runs folder, with slashes."""
    request: Request | tuple[str, ...]
    """A typed request, or the arguments as read from a job.json, which `request_of` parses."""
    gpu: str = "auto"
    """"auto", "none", or indices such as "0" and UUIDs such as "GPU-…", separated by commas."""
    gpu_count: int = 1
    """Number of GPUs that "auto" takes, all at once."""
    after: tuple[str, ...] = ()
    """Ids of jobs in the same runs folder that must succeed first."""
    priority: int = PRIORITY
    """0 (first) to 99 (last)."""

    @property
    def argv(self) -> tuple[str, ...]:
        """The arguments of `xray-engine`, or the whole command of a command job. Clean it before showing it."""
        return self.request if isinstance(self.request, tuple) else self.request.argv(self.run)

    @property
    def resumes(self) -> bool:
        """Whether the job continues the training of its run."""
        return self.kind == "train" and "--resume" in self.argv


@dataclass(frozen=True, slots=True)
class Progress:
    """Progress that the engine reported."""

    done: int
    total: int
    unit: str
    phase: str
    eta_s: float | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """A job as read from its files. All text except `spec.argv`, `engine` and the paths is safe to print."""

    id: str
    spec: JobSpec
    state: State
    cause: str | None = None
    """Why the job ended; None for a plain success."""
    note: str | None = None
    """Remark on a running job, such as that its supervisor died."""
    waits: str | None = None
    """Why the job waits."""
    created: float = 0.0
    started: float | None = None
    ended: float | None = None
    """Seconds since the epoch."""
    gpus: tuple[str, ...] = ()
    """UUIDs of the GPUs that the job holds or held."""
    exit_code: int | None = None
    """Exit code of the engine; negative for a signal."""
    peak_memory: int | None = None
    peak_gpu_memory: int | None = None
    """Peak memory in bytes."""
    user: str = ""
    host: str = ""
    boot: str = ""
    lease_dir: str = ""
    lease_id: str = ""
    """Identity of the lock folder, because another folder may now have its path. Empty in older jobs."""
    folder: str = ""
    """Path of the job's folder at launch; a job found elsewhere is a copy. Empty in older jobs."""
    ticket: str = ""
    """Name of the job's file in the queue."""
    wants: str = "auto"
    """spec.gpu with every GPU as a UUID."""
    terms: GpuPolicy = GpuPolicy()  # noqa: RUF009 - frozen
    attempt: int = 1
    log_from: int = 0
    """Offset in bytes in the log at which this attempt starts."""
    engine: tuple[str, ...] = ()
    """Command that runs the engine, without `spec.argv`."""
    source: Source | None = None
    """Version of the job's code; None for a command and for an engine that was not frozen."""
    cwd: str = ""
    grace: float = GRACE
    cpu_slots: int = CPU_SLOTS
    supervisor: Process | None = None
    process: Process | None = None
    """Engine process; its pid is also its process group."""
    progress: Progress | None = None
    stop_asked_by: str | None = None
    """User who asked to stop the job, such as alice@host. Read from stop.json, as `progress` is from progress.json."""
    stop_asked: float | None = None
    """Time of that request; `grace` seconds later the engine is killed."""

    @property
    def writes_end(self) -> bool:
        """Whether the job's program writes an end record; for a command the exit status decides the outcome."""
        return self.spec.kind != "command"

    @property
    def readable(self) -> bool:
        """False if job.json could not be read; such a job is listed but never changed."""
        return self.spec.kind != "?"


def write_job(folder: Path, job: Job) -> None:
    """Write job.json, writable only by its owner because its command is run. The caller holds the job's supervisor
    lock. Raises OSError."""
    values = {"schema": SCHEMA, "id": job.id, **asdict(job.spec), "argv": job.spec.argv, **asdict(job)}
    for name in ("spec", "request", "progress", "stop_asked_by", "stop_asked"):  # the last three have their own files
        del values[name]
    write_json(folder / JOB, values, FILE_MODE)


def unreadable(identity: str, reason: str) -> Job:
    """A placeholder for a job whose job.json is damaged."""
    return Job(clean(identity), JobSpec("?", "?", ()), State.LOST, cause=f"{JOB}: {clean(reason)}")


def parse_job(data: bytes, identity: str) -> Job:
    """Parse a job.json; `identity` is the name of its folder. Raises ValueError with the reason."""
    if len(data) > LARGEST:
        raise ValueError(f"larger than {LARGEST >> 20} MiB")
    if not (values := parse_object(data)):
        raise ValueError("not a JSON object; the file may be truncated")
    if (reason := newer(values.get("schema"), SCHEMA)) is not None:
        raise ValueError(reason)
    if (state := values.get("state")) not in list(State):
        raise ValueError(f"state: expected one of {', '.join(State)}, got {state!r:.40}")
    spec = JobSpec(
        _clean_text(values, "kind"),
        _clean_text(values, "run"),
        _texts(values, "argv"),
        _clean_text(values, "gpu"),
        gpu_count=max(1, _whole(values, "gpu_count") or 1),
        after=tuple(map(clean, _texts(values, "after"))) if "after" in values else (),
        priority=PRIORITY if (priority := _whole(values, "priority")) is None else min(99, max(0, priority)),
    )
    readers: dict[Callable[[Mapping[str, Any], str], Any], str] = {
        _clean_text: "user host boot ticket wants",
        _text: "lease_dir cwd",
        _clean_or_none: "cause note waits",
        _number: "started ended",
        _whole: "exit_code peak_memory peak_gpu_memory",
        _process: "supervisor process",
    }
    others = {name: read(values, name) for read, names in readers.items() for name in names.split()}
    return Job(
        id=clean(identity),
        spec=spec,
        state=State(state),
        created=_number(values, "created") or 0.0,
        gpus=tuple(map(clean, _texts(values, "gpus"))),
        lease_id=_clean_or_none(values, "lease_id") or "",
        folder=_text(values, "folder") if "folder" in values else "",
        engine=_texts(values, "engine"),
        terms=from_values(values.get("terms")),
        source=code_version.from_values(values.get("source")),
        attempt=_whole(values, "attempt") or 1,
        log_from=max(0, _whole(values, "log_from") or 0),
        grace=_number(values, "grace") or 0.0,
        cpu_slots=_whole(values, "cpu_slots") or CPU_SLOTS,
        **others,
    )


def parse_progress(data: bytes) -> Progress | None:
    """Parse the engine's progress.json; None if it is damaged. The engine rewrites it every second."""
    values = parse_object(data)
    try:
        done, total = _whole(values, "done"), _whole(values, "total")
        unit, phase, eta = _clean_text(values, "unit"), _clean_text(values, "phase"), _number(values, "eta_s")
    except ValueError:
        return None
    if done is None or total is None or done < 0 or total < 0:
        return None
    return Progress(done, total, unit, phase, eta)


def parse_object(data: bytes) -> dict[str, Any]:
    """Parse a JSON object; empty for anything else."""
    try:
        values = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    return values if isinstance(values, dict) else {}


def _text(values: Mapping[str, Any], key: str) -> str:
    value = values.get(key)
    if not isinstance(value, str):
        raise ValueError(f"{key}: expected text, got {value!r:.40}")
    return value


def _clean_text(values: Mapping[str, Any], key: str) -> str:
    return clean(_text(values, key))


def _texts(values: Mapping[str, Any], key: str) -> tuple[str, ...]:
    value = values.get(key)
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ValueError(f"{key}: expected a list of texts, got {value!r:.40}")
    return tuple(value)


def _clean_or_none(values: Mapping[str, Any], key: str) -> str | None:
    return None if values.get(key) is None else clean(_text(values, key))


def _number(values: Mapping[str, Any], key: str) -> float | None:
    value = values.get(key)
    if value is None:
        return None
    if type(value) in (int, float) and abs(value) < 1e300:  # False for NaN and infinity
        return float(value)
    raise ValueError(f"{key}: expected a finite number, got {value!r:.40}")


def _whole(values: Mapping[str, Any], key: str) -> int | None:
    value = values.get(key)
    if value is None or (type(value) is int and abs(value) < 1 << 63):
        return value
    raise ValueError(f"{key}: expected an integer, got {value!r:.40}")


def _process(values: Mapping[str, Any], key: str) -> Process | None:
    value = values.get(key)
    if value is None:
        return None
    if isinstance(value, dict) and type(value.get("start")) is int and 1 < (_whole(value, "pid") or 0) < 1 << 31:
        return Process(value["pid"], value["start"])
    raise ValueError(f"{key}: expected a process, got {value!r:.40}")
