"""A job: what was asked, where it stands, and the job.json that says so over restarts.

job.json is written whole, and only by whoever holds the job's `.sup` lock: the launcher that makes it, its supervisor,
or whoever looks after the supervisor is gone.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.contract.files import write_json
from engine.contract.formats import newer
from engine.contract.names import JOB
from engine.contract.text import clean
from xray_tui.jobs.model import code_version as source
from xray_tui.jobs.model.code_version import Source
from xray_tui.jobs.model.gpu_policy import Terms, from_values
from xray_tui.system.process import Process
from xray_tui.system.safe_files import FILE_MODE, LARGEST

if TYPE_CHECKING:
    from xray_tui.jobs.model.request import Request

SCHEMA = "xray-job/1"
GRACE = 30.0
"""Seconds between SIGTERM and SIGKILL: a checkpoint of a large model takes its time on a slow disk."""

KINDS = ("train", "evaluate", "blend", "command")
PRIORITY = 50

CPU_SLOTS = 2
"""Jobs without a GPU that run at once on a machine. Two trainings side by side are slow on few cores, but with one slot
an evaluation of a minute would wait hours for a training to end."""


class State(StrEnum):
    """queued -> starting -> running -> succeeded | failed | stopped; lost when nobody is left who knows.

    A queued job may be held by its owner, and is blocked where one that it has to come after did not succeed.
    """

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
        """Not begun, in the queue or kept out of it."""
        return self in (State.QUEUED, State.HELD, State.BLOCKED)

    @property
    def ended(self) -> bool:
        return not self.waiting and self not in (State.STARTING, State.RUNNING)


@dataclass(frozen=True, slots=True)
class JobSpec:
    """What is asked for."""

    kind: str
    """train, evaluate, blend, or command for a program of the user's own; "?" only for a job whose file cannot be
    read."""
    run: str
    """Relative to the runs folder, with slashes."""
    request: Request | tuple[str, ...]
    """The arguments where the job comes from a job.json: `request_of` reads these where more is needed."""
    gpu: str = "auto"
    """"auto", "none", an index such as "0", a UUID such as "GPU-…", or several of these with commas between."""
    gpu_count: int = 1
    """How many GPUs "auto" takes, all at once or none."""
    after: tuple[str, ...] = ()
    """Ids of jobs of the same runs folder that have to succeed first."""
    priority: int = PRIORITY
    """0 is served first, 99 last."""

    @property
    def argv(self) -> tuple[str, ...]:
        """What follows `xray-engine`; for a command, all of it. Clean it before showing it."""
        return self.request if isinstance(self.request, tuple) else self.request.argv(self.run)

    @property
    def resumes(self) -> bool:
        """Whether it continues the training of its run."""
        return self.kind == "train" and "--resume" in self.argv


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the engine says it is."""

    done: int
    total: int
    unit: str
    phase: str
    eta_s: float | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """One job as its files say. All text but `spec.argv`, `engine` and the paths is safe to print."""

    id: str
    spec: JobSpec
    state: State
    cause: str | None = None
    """Why it ended, where there is more to say than "succeeded"."""
    note: str | None = None
    """What one should know while it runs: that it is on the CPU, that its supervisor is gone."""
    waits: str | None = None
    """What a queued job waits for."""
    created: float = 0.0
    started: float | None = None
    ended: float | None = None
    """Seconds since the epoch."""
    gpus: tuple[str, ...] = ()
    """UUIDs of the GPUs it holds or held."""
    exit_code: int | None = None
    """The engine's; negative for a signal."""
    peak_memory: int | None = None
    peak_gpu_memory: int | None = None
    """Bytes."""
    user: str = ""
    host: str = ""
    boot: str = ""
    lease_dir: str = ""
    lease_id: str = ""
    """Which folder that was; the path may hold another by now. Empty for a job of an earlier version."""
    folder: str = ""
    """Its own folder when it was launched: elsewhere lies a copy. Empty as for lease_id."""
    ticket: str = ""
    """The name of its file in the queue."""
    wants: str = "auto"
    """What the ticket asks for: as spec.gpu, but GPUs by their UUIDs."""
    terms: Terms = Terms()  # noqa: RUF009 - frozen
    """Under which it takes GPUs."""
    attempt: int = 1
    """One more with each time that it was resumed in place."""
    log_from: int = 0
    """Bytes of its log that were there before this attempt."""
    engine: tuple[str, ...] = ()
    """The command before `spec.argv`."""
    source: Source | None = None
    """The code that it runs; None for a command, and for an engine that was not frozen."""
    cwd: str = ""
    grace: float = GRACE
    cpu_slots: int = CPU_SLOTS
    supervisor: Process | None = None
    process: Process | None = None
    """The engine; its pid is also the number of its process group."""
    progress: Progress | None = None
    stop_asked_by: str | None = None
    """Who asked for its stop. From stop.json, as `progress` is from progress.json."""
    stop_asked: float | None = None
    """When; its engine is killed `grace` seconds later."""

    @property
    def writes_end(self) -> bool:
        """Whether its program leaves an end record; of a command the exit status decides."""
        return self.spec.kind != "command"

    @property
    def readable(self) -> bool:
        """False where job.json could not be read; such a job is listed and never touched."""
        return self.spec.kind != "?"


def write_job(folder: Path, job: Job) -> None:
    """Write job.json whole, for nobody else to change: its command is run.

    The caller holds the job's `.sup` lock. Raises OSError.
    """
    values = asdict(job)
    spec = {"kind": job.spec.kind, "run": job.spec.run, "argv": job.spec.argv, **values.pop("spec")}
    del spec["request"]
    for name in ("progress", "stop_asked_by", "stop_asked"):  # other files' words
        del values[name]
    write_json(folder / JOB, {"schema": SCHEMA, "id": values.pop("id"), **spec, **values}, FILE_MODE)


def unreadable(identity: str, reason: str) -> Job:
    """How a job is listed whose job.json is damaged."""
    return Job(clean(identity), JobSpec("?", "?", ()), State.LOST, cause=f"{JOB}: {clean(reason)}")


def parse_job(data: bytes, identity: str) -> Job:
    """The job in the bytes of a job.json; `identity` is its folder's name. Raises ValueError with the reason."""
    if len(data) > LARGEST:
        raise ValueError(f"larger than {LARGEST >> 20} MiB")
    values = parse_object(data)
    if values is None:
        raise ValueError("not a JSON object; it may have been cut off")
    if (reason := newer(values.get("schema"), SCHEMA)) is not None:
        raise ValueError(reason)
    try:
        state = State(str(values.get("state")))
    except ValueError:
        raise ValueError(f"state: {values.get('state')!r:.40} is none of {', '.join(State)}") from None
    return Job(
        id=clean(identity),
        spec=JobSpec(
            kind=clean(_text(values, "kind")),
            run=clean(_text(values, "run")),
            request=_texts(values, "argv"),
            gpu=clean(_text(values, "gpu")),
            gpu_count=max(1, _whole(values, "gpu_count") or 1),
            after=tuple(map(clean, _texts(values, "after"))) if "after" in values else (),
            priority=PRIORITY if (given := _whole(values, "priority")) is None else min(99, max(0, given)),
        ),
        state=state,
        cause=_clean_or_none(values, "cause"),
        note=_clean_or_none(values, "note"),
        waits=_clean_or_none(values, "waits"),
        created=_number(values, "created") or 0.0,
        started=_number(values, "started"),
        ended=_number(values, "ended"),
        gpus=tuple(map(clean, _texts(values, "gpus"))),
        exit_code=_whole(values, "exit_code"),
        peak_memory=_whole(values, "peak_memory"),
        peak_gpu_memory=_whole(values, "peak_gpu_memory"),
        user=clean(_text(values, "user")),
        host=clean(_text(values, "host")),
        boot=clean(_text(values, "boot")),
        lease_dir=_text(values, "lease_dir"),
        lease_id=_clean_or_none(values, "lease_id") or "",
        folder=_text(values, "folder") if "folder" in values else "",
        ticket=clean(_text(values, "ticket")),
        wants=clean(_text(values, "wants")),
        engine=_texts(values, "engine"),
        cwd=_text(values, "cwd"),
        terms=from_values(terms) if isinstance(terms := values.get("terms"), dict) else Terms(),
        source=source.from_values(known) if isinstance(known := values.get("source"), dict) else None,
        attempt=_whole(values, "attempt") or 1,
        log_from=max(0, _whole(values, "log_from") or 0),
        grace=_number(values, "grace") or 0.0,
        cpu_slots=_whole(values, "cpu_slots") or CPU_SLOTS,
        supervisor=_process(values, "supervisor"),
        process=_process(values, "process"),
    )


def parse_progress(data: bytes) -> Progress | None:
    """The engine's progress.json; None where it is damaged: the next one comes within a second."""
    values = parse_object(data)
    if values is None:
        return None
    try:
        done, total = _whole(values, "done"), _whole(values, "total")
        if done is None or total is None or done < 0 or total < 0:
            return None
        eta = _number(values, "eta_s")
        return Progress(done, total, clean(_text(values, "unit")), clean(_text(values, "phase")), eta)
    except ValueError:
        return None


def parse_object(data: bytes) -> dict[str, Any] | None:
    """A JSON object, or None for anything else."""
    try:
        values = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return values if isinstance(values, dict) else None


def _text(values: Mapping[str, Any], key: str) -> str:
    value = values.get(key)
    if not isinstance(value, str):
        raise ValueError(f"{key}: {value!r:.40} is no text")
    return value


def _texts(values: Mapping[str, Any], key: str) -> tuple[str, ...]:
    value = values.get(key)
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ValueError(f"{key}: {value!r:.40} is no list of texts")
    return tuple(value)


def _clean_or_none(values: Mapping[str, Any], key: str) -> str | None:
    return None if values.get(key) is None else clean(_text(values, key))


def _number(values: Mapping[str, Any], key: str) -> float | None:
    value = values.get(key)
    if value is None:
        return None
    try:
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            return float(value)
    except OverflowError:
        pass
    raise ValueError(f"{key}: {value!r:.40} is no finite number")


def _whole(values: Mapping[str, Any], key: str) -> int | None:
    value = values.get(key)
    if value is None or (isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 63):
        return value
    raise ValueError(f"{key}: {value!r:.40} is no whole number")


def _process(values: Mapping[str, Any], key: str) -> Process | None:
    value = values.get(key)
    if value is None:
        return None
    if isinstance(value, dict):
        pid, start = _whole(value, "pid"), _whole(value, "start")
        if pid is not None and start is not None and 1 < pid < 1 << 31:
            return Process(pid, start)
    raise ValueError(f"{key}: {value!r:.40} is no process")
