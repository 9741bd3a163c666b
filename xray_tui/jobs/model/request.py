"""Typed job requests: built by a form or from a command line, and rendered as the engine's arguments."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias

from engine.contract.errors import BadInput
from engine.contract.names import run_path
from engine.contract.text import clean

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from xray_tui.jobs.model.job import JobSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class _EngineRequest:
    """Fields are the engine's options, in their order. Paths are relative to the working directory of the launch."""

    def argv(self, run: str) -> tuple[str, ...]:
        """The arguments of `xray-engine` for this request. `run` is relative to the runs folder."""
        words = [type(self).__name__.removesuffix("Request").lower()]
        for field in fields(self):
            value, option = getattr(self, field.name), f"--{field.name.replace('_', '-')}"
            if field.name == "runs":
                words += ["--run", os.path.join(value, run)]  # noqa: PTH118 - a bad name is refused later
            elif field.name == "overrides":
                words += [word for override in value for word in ("--set", override)]
            elif isinstance(value, tuple) and value:
                words += [option, *value]
            elif value != field.default:
                words += [option] if value is True else [option, str(value)]
        return tuple(words)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainRequest(_EngineRequest):
    """A training by xray-engine or, depending on the config, by nnU-Net."""

    config: str | None = None
    """Path of a recipe; None to resume with the config of the run."""
    runs: str
    """Path of the runs folder."""
    overrides: tuple[str, ...] = ()
    """Overrides of config fields, each as KEY=VALUE."""
    resume: bool = False
    sanity: bool = False
    gpus: int | None = None
    allow_overlap: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluateRequest(_EngineRequest):
    """An evaluation; `--tta` and `--threshold` are always rendered because they have no default here."""

    runs: str
    tta: str
    threshold: str
    presence: str = "auto"
    gate: str = "none"
    checkpoint: str = "best"
    batch_size: int = 16
    bootstrap: int = 1000
    manifest: str | None = None
    output: str | None = None
    allow_overlap: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class BlendRequest(_EngineRequest):
    members: tuple[str, ...] = ()
    """Run folders; empty means the members in the config."""
    runs: str
    tta: str | None = None
    config: str | None = None
    overrides: tuple[str, ...] = ()
    allow_overlap: bool = False


@dataclass(frozen=True, slots=True)
class CommandRequest:
    """A program of the user."""

    words: tuple[str, ...]

    def argv(self, run: str) -> tuple[str, ...]:
        return self.words


Request: TypeAlias = TrainRequest | EvaluateRequest | BlendRequest | CommandRequest

ENGINE_REQUESTS: dict[str, Any] = {"train": TrainRequest, "evaluate": EvaluateRequest, "blend": BlendRequest}
"""Request classes by kind of job, for the kinds that the engine runs."""

_NO_RUN = "."


def read_request(kind: str, arguments: Sequence[str], runs: Path, name: str | None = None) -> tuple[str, Request]:
    """Parse a command line into (the run relative to the runs folder, the request).

    `name` is relative to the runs folder; `--run runs/NAME` in the arguments is relative to the working directory.
    Raises BadInput for bad arguments, for no run or two different runs, and for a run outside the runs folder.
    """
    if kind == "command":
        return run_path(name or ""), CommandRequest(tuple(arguments))
    path, request = _parsed(kind, arguments, str(runs))
    if (config := getattr(request, "config", None)) is not None:
        from engine.contract.recipes import recipe_path

        request = replace(request, config=recipe_path(config, runs))  # type: ignore[arg-type]
    if path == _NO_RUN:
        if not name:
            raise BadInput("launch: which run? Give --run NAME")
        return run_path(name), request
    run, shown = os.path.relpath(path, runs), clean(str(runs))
    if run.split("/")[0] in (".", ".."):
        raise BadInput(f"--run {clean(path)}: lies outside {shown}; give {shown}/NAME")
    if name and run_path(name) != run:
        raise BadInput(f"--run {clean(name)}: the engine's arguments say {clean(run)}; give it once")
    return run, request


def request_of(spec: JobSpec) -> Request:
    """The request of a job, parsed from the arguments if the job was read from a job.json. Raises BadInput for
    arguments that this version of the engine does not know."""
    if not isinstance(spec.request, tuple):
        return spec.request
    if spec.kind not in ENGINE_REQUESTS:
        return CommandRequest(spec.request)
    return _parsed(spec.kind, spec.request[1:], "")[1]


def shown_command(spec: JobSpec) -> str:
    """The command, quoted for a shell and safe to print."""
    return clean(shlex.join(spec.argv if spec.kind == "command" else ("xray-engine", *spec.argv)))


def _parsed(kind: str, arguments: Sequence[str], runs: str) -> tuple[str, Request]:
    """Parse arguments into (the value of --run, the request)."""
    values = vars(_parser(kind).parse_args(["--run", _NO_RUN, *arguments]))
    for name, value in values.items():
        if isinstance(value, Path):
            values[name] = f"./{value}" if str(value).startswith("-") else str(value)  # must not look like an option
    values |= {name: tuple(values[name] or ()) for name in ("members", "overrides") if name in values}
    return values.pop("run"), ENGINE_REQUESTS[kind](runs=runs, **values)


@lru_cache
def _parser(kind: str) -> ArgumentParser:
    """The engine's argument parser; it raises BadInput instead of exiting."""
    from argparse import ArgumentParser

    from engine.contract.arguments import ADD_OPTIONS, with_hint

    class Parser(ArgumentParser):
        def error(self, message: str) -> NoReturn:
            raise BadInput(f"{kind}: {clean(with_hint(message))}; `xray-engine {kind} --help` lists the options")

    parser = Parser(add_help=False, allow_abbrev=False)
    ADD_OPTIONS[kind](parser)
    return parser
