"""The lines above and below a job's log."""

from __future__ import annotations

from dataclasses import replace

from tests.app.samples import NOW, make_job
from xray_tui.jobs.model.job import State
from xray_tui.widgets.log_frame import MOST_BEFORE, log_end, log_head


def test_the_head_names_command_gpus_and_start() -> None:
    job = make_job("a", "unet_a", State.RUNNING, gpus=("GPU-b", "GPU-gone"))
    job = replace(job, spec=replace(job.spec, request=("train", "--run", "runs/a b\x1b")))
    command, place = log_head(job, [job], {"GPU-a": 0, "GPU-b": 1})
    assert command == "$ xray-engine train --run 'runs/a b␛'"
    assert place.startswith("GPU 1, GPU-gone, started 2026-02-15 ")
    mine = replace(job, spec=replace(job.spec, kind="command", request=("make", "x")), gpus=(), started=None)
    assert list(log_head(mine, [], {})) == ["$ make x"]


def test_a_waiting_job_is_behind_running_jobs_and_earlier_ones_for_the_same_kind_of_device() -> None:
    def waiting(name: str, number: int, **more: object) -> object:
        return make_job(name, name, State.QUEUED, ticket=f"50.{number:012}.{name}", started=None, **more)

    mine = waiting("mine", 5, waits="no GPU is free", user="ana")
    others = [
        waiting("later", 6), waiting("first", 2, user="bo"), waiting("on_cpu", 1, wants="none"),
        make_job("runs", "runs", State.RUNNING), make_job("ended", "ended", State.FAILED),
    ]  # fmt: skip
    _, why, *behind = log_head(mine, [mine, *others], {})
    assert why.startswith("queued since 2026-02-15 ")
    assert why.endswith(": no GPU is free")
    assert behind == ["behind:", "  ▶ runs", "  ◦ first (bo)"]
    assert len(list(log_head(mine, [], {}))) == 2
    many = [waiting(f"w{number}", 1) for number in range(MOST_BEFORE + 3)]
    assert list(log_head(mine, many, {}))[-1] == "  and 3 more"


def test_the_end_says_how_a_job_ended_and_why() -> None:
    failed = make_job("a", "a", State.FAILED, cause="killed by SIGKILL", ended=NOW)
    assert next(log_end(failed)).startswith("✗ failed: killed by SIGKILL · took 10m40s · 2026-02-15 ")
    assert list(log_end(make_job("a", "a", State.RUNNING))) == []
