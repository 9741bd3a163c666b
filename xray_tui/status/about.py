"""How a run came to be: its jobs, config, code, data, checkpoints, looks at test, and how to make it again."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from engine.contract.errors import BadInput
from engine.contract.files import file_sha256
from engine.contract.names import ARTIFACT_GLOB, CHECKPOINTS, CONFIG, DATA, LOOKS
from engine.contract.text import clean
from engine.contract.units import duration, size
from engine.contract.yaml_file import read_mapping
from xray_tui.jobs.model.job import Job
from xray_tui.system.safe_files import read_small

HEAD = 11
"""Width of the first column."""
HASH = 19
"""Number of characters of a hash that are shown: `sha256:` and 12 digits."""
MOST_LOOKS = 20
LARGEST_LOOKS = 64 << 20


def about_lines(runs: Path, run: str, jobs: Sequence[Job]) -> list[str]:
    """The lines about a run of the runs folder, safe to print. Raises BadInput if there is no such run."""
    folder = runs / run
    if not folder.is_dir():
        raise BadInput(f"{clean(str(folder))}: no such run")
    parts = (
        ("run", iter([str(folder)])),
        ("job", _jobs([job for job in jobs if job.spec.run == run])),
        ("config", _config(folder)),
        ("data", _data(folder)),
        ("checkpoint", _checkpoints(folder)),
        ("result", _results(folder)),
        ("look", _looks(runs, run)),
        ("again", _again(folder, run)),
    )
    return [f"{head:<{HEAD}}{clean(line)}" for head, lines in parts for line in lines]


def _jobs(jobs: Sequence[Job]) -> Iterator[str]:
    for job in sorted(jobs, key=lambda job: job.created):
        took = f" after {duration(job.ended - job.started)}" if job.started and job.ended else ""
        gpus = f" on GPU {', '.join(job.gpus)}" if job.gpus else ""
        program = "" if job.spec.kind == "command" else f"xray-engine {job.spec.kind} "
        command = f"{program}{shlex.join(job.spec.argv)}"
        yield f"{_when(job.created)} {job.id} ({job.user or '?'}): {job.state}{took}{gpus}: {command}"


def _config(folder: Path) -> Iterator[str]:
    path = folder / CONFIG
    if not path.is_file():
        yield "no config.yaml: the run was made by another script"
        return
    values = read_mapping(path)
    yield f"kind {values.get('kind', '?')}, seed {values.get('seed', '?')}, {_hash(file_sha256(path))}: {path}"


def _data(folder: Path) -> Iterator[str]:
    if (folder / CONFIG).is_file():
        section = read_mapping(folder / CONFIG).get("data")
        manifest = section.get("manifest") if isinstance(section, dict) else None
        if isinstance(manifest, str):
            there = "" if (folder / manifest).exists() else " (no longer there)"
            yield f"manifest {manifest}{there}"
    if (folder / DATA).is_file():
        yield f"{DATA} {_hash(file_sha256(folder / DATA))}: the images of train, val and test"


def _checkpoints(folder: Path) -> Iterator[str]:
    for path in sorted((folder / CHECKPOINTS).glob("*.pt")):
        status = path.stat()
        yield f"{path.name} {_hash(file_sha256(path))}, {size(status.st_size)}, {_when(status.st_mtime)}"


def _results(folder: Path) -> Iterator[str]:
    """What each artifact of the engine says about its origin."""
    checkpoints = {file_sha256(path) for path in (folder / CHECKPOINTS).glob("*.pt")}
    for path in sorted(folder.glob(ARTIFACT_GLOB)):
        artifact = _read(path)
        if artifact is None or not isinstance(provenance := artifact.get("provenance"), dict):
            yield f"{path.name}: without provenance"
            continue
        facts = [
            f"{key} {provenance[key]}" for key in ("git", "engine", "device") if isinstance(provenance.get(key), str)
        ]
        used = [entry.get("sha256") for entry in provenance.get("checkpoints") or () if isinstance(entry, dict)]
        stale = "; its checkpoint has been replaced" if checkpoints and not checkpoints & {*used} else ""
        yield f"{path.name}: {', '.join(facts) or 'no facts'}{stale}"


def _looks(runs: Path, run: str) -> Iterator[str]:
    """Every look of the run at test data, oldest first."""
    try:
        lines = read_small(runs / LOOKS, LARGEST_LOOKS).decode("utf-8", "replace").splitlines()
    except FileNotFoundError:
        yield "none recorded"
        return
    looks = [value for line in lines if (value := _parse(line)) and value.get("run") == run]
    for number, look in enumerate(looks[:MOST_LOOKS], 1):
        yield f"{number}: {look.get('time')} by {look.get('user')}: {look.get('artifact')}"
    if len(looks) > MOST_LOOKS:
        yield f"and {len(looks) - MOST_LOOKS} more"
    if not looks:
        yield "none recorded"


def _again(folder: Path, run: str) -> Iterator[str]:
    if (folder / CONFIG).is_file():
        kind = read_mapping(folder / CONFIG).get("kind")
        command = "blend" if kind == "blend" else "train"
        arguments = shlex.join(["--config", str(folder / CONFIG), "--run", f"{folder}_again"])
        yield f"xray-tui launch {command} -- {arguments}, with the code and data above"


def _when(time: float) -> str:
    return f"{datetime.fromtimestamp(time):%Y-%m-%d %H:%M}"


def _hash(digest: str) -> str:
    return digest[:HASH]


def _read(path: Path) -> Mapping[str, Any] | None:
    try:
        return _parse(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError):
        return None


def _parse(text: str) -> Mapping[str, Any] | None:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
