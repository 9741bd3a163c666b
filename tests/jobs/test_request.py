"""A request: read from a command line or a job.json, rendered as the engine's arguments, and back."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from engine.cli import make_parser
from engine.contract.errors import BadInput
from xray_tui.jobs.model.job import JobSpec
from xray_tui.jobs.model.request import (
    ENGINE_REQUESTS,
    BlendRequest,
    CommandRequest,
    EvaluateRequest,
    Request,
    TrainRequest,
    read_request,
    request_of,
    shown_command,
)

REQUESTS: list[Request] = [
    TrainRequest(config="configs/unet.yaml", runs="runs", overrides=("seed=1", "training.lr=1e-3"), gpus=2),
    TrainRequest(runs="/data/runs", resume=True),
    TrainRequest(config="unet.yaml", runs="runs", allow_overlap=True),
    EvaluateRequest(runs="runs", tta="none", threshold="0.25", gate="0.3", batch_size=4, bootstrap=0, manifest="m.csv"),
    EvaluateRequest(runs="runs", tta="hv", threshold="tuned", manifest="m.csv", output="o.json", allow_overlap=True),
    BlendRequest(members=("runs/a", "runs/b"), runs="runs", tta="h", overrides=("presence_run=runs/c",)),
    BlendRequest(runs="runs", config="./-odd.yaml", allow_overlap=True),
]


@pytest.mark.parametrize("request_", REQUESTS, ids=lambda request: type(request).__name__)
def test_the_engine_and_a_job_json_read_what_is_rendered(request_: Request) -> None:
    argv = request_.argv("x/a b")
    given = vars(make_parser().parse_args(argv))
    assert (given["command"], str(given["run"])) == (argv[0], f"{request_.runs}/x/a b")
    assert read_request(argv[0], argv[1:], Path(request_.runs)) == ("x/a b", request_)


@pytest.mark.parametrize("kind", ENGINE_REQUESTS)
def test_a_request_has_every_option_of_the_engine_with_its_default(kind: str) -> None:
    plain = vars(make_parser().parse_args([kind, "--run", "runs/a"]))
    run, request = read_request(kind, (), Path("runs"), "a")
    ours = {field.name: getattr(request, field.name) for field in fields(request)}
    assert run == "a"
    assert ours.keys() - {"runs"} == plain.keys() - {"command", "run_command", "run"}
    assert all(value in (plain.get(name), ()) for name, value in ours.items() if name != "runs")


def test_a_job_of_the_former_version_is_read_from_its_arguments() -> None:
    argv = ("train", "--run", "runs/seeds/seed_42", "--config", "/data/runs/.jobs/1/tiny.yaml")
    assert request_of(JobSpec("train", "seeds/seed_42", argv)) == TrainRequest(config=argv[-1], runs="")
    words = ("python", "train.py", "--resume")
    assert request_of(JobSpec("command", "a", words)) == CommandRequest(words)
    assert not JobSpec("command", "a", words).resumes


def test_bad_arguments_are_refused_in_one_line_that_is_safe_to_print() -> None:
    with pytest.raises(BadInput) as error:
        read_request("train", ["--learning-rate\x1b", "3"], Path("runs"), "a")
    (line,) = error.value.lines
    assert line.startswith("train: unrecognized arguments: --learning-rate\N{SYMBOL FOR ESCAPE} 3; `xray-engine train")


def test_a_shown_command_can_be_pasted_and_holds_no_control_code() -> None:
    spec = JobSpec("evaluate", "a b\x1b", EvaluateRequest(runs="runs", tta="hv", threshold="tuned"))
    shown = "xray-engine evaluate --run 'runs/a b\N{SYMBOL FOR ESCAPE}' --tta hv --threshold tuned"
    assert shown_command(spec) == shown
