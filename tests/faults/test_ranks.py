"""A training by several processes, a GPU each; here by two on the CPU, where gloo stands for NCCL."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from engine.cli import main
from engine.contract.events import parse_events

from ..engine.conftest import TINY, arguments
from .conftest import Death, WarmEngine
from .test_resume import REMEMBERING


def training(project: Path, radiographs: Path, run: Path, *more: str) -> list[str]:
    config = str(project / "configs" / "pretrained_dual_head.yaml")
    changes = (f"data.manifest={radiographs}", *TINY, "device=cpu", "training.precision=fp32", *more)
    return ["train", "--config", config, "--run", str(run), *arguments(*changes)]


def network(run: Path) -> dict[str, object]:
    import torch

    return torch.load(run / "checkpoints" / "last.pt", weights_only=True)["network"]


def different(one: Path, other: Path) -> list[str]:
    """The names of the tensors that are not the same bit for bit."""
    import torch

    first, second = network(one), network(other)
    assert first.keys() == second.keys()
    return [name for name in first if not torch.equal(first[name], second[name])]  # type: ignore[call-overload]


@dataclass(frozen=True)
class Pair:
    """Two engines that are ranks of one training, as torchrun would start them."""

    first: WarmEngine
    second: WarmEngine
    folder: Path

    def start(
        self, argv: list[str], dies: tuple[Death | None, Death | None] = (None, None), without_noise: bool = False
    ) -> tuple[int, int]:
        store = self.folder / "store"
        store.unlink(missing_ok=True)
        marks = {"WORLD_SIZE": "2", "XRAY_RANKS_STORE": str(store)}
        pids = []
        for rank, engine in enumerate((self.first, self.second)):
            environment = {**marks, "RANK": str(rank), "LOCAL_RANK": str(rank)}
            pids.append(engine.start(argv, dies[rank], environment=environment, without_noise=without_noise))
        return pids[0], pids[1]

    def end(self) -> tuple[int, int]:
        return self.first.end(), self.second.end()

    def run(self, argv: list[str], without_noise: bool = False) -> tuple[int, int]:
        self.start(argv, without_noise=without_noise)
        return self.end()


@pytest.fixture
def pair(two_warm_engines: tuple[WarmEngine, WarmEngine], tmp_path: Path) -> Pair:
    return Pair(*two_warm_engines, tmp_path)


def test_two_ranks_of_half_a_batch_end_nearly_where_one_process_ends(
    pair: Pair, project: Path, radiographs: Path, tmp_path: Path
) -> None:
    """Nearly: floats are summed in another order, which AdamW amplifies where a gradient is almost 0. So the difference
    is held against the way that the training has gone, and a smaller batch against the same."""
    import torch

    begun, alone, shared, half = (tmp_path / name for name in ("begun", "alone", "shared", "half"))
    parts = ("training.accumulate=2", "training.freeze_encoder_epochs=0.5")  # wrapped before the encoder rests
    still = ("training.lr=1e-12", "training.weight_decay=0")
    for run, more in ((begun, still), (alone, ()), (half, ("training.batch_size=4", "training.samples_per_epoch=12"))):
        given = training(project, radiographs, run, *parts, *more)
        assert pair.first.run(given, without_noise=True) == 0, pair.first.said()
    assert pair.run(training(project, radiographs, shared, *parts), without_noise=True) == (0, 0), pair.first.said()

    def distance(one: Path, other: Path) -> float:
        first, second = network(one), network(other)
        return float(torch.cat([(first[name] - second[name]).double().flatten() for name in first]).norm())  # type: ignore[operator]

    way = distance(begun, alone)
    print(distance(alone, shared) / way, distance(alone, half) / way)
    assert 0 < distance(alone, shared) < 1e-4 * way
    assert distance(alone, half) > 0.1 * way
    losses = [
        [event["loss"] for event in parse_events((run / "events.jsonl").read_text()) if event["event"] == "epoch"]
        for run in (alone, shared)
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_two_ranks_that_are_stopped_resume_to_the_same_bits(
    pair: Pair, project: Path, radiographs: Path, tmp_path: Path
) -> None:
    """With dropout and batch norm, each rank's own."""
    whole, run = tmp_path / "whole", tmp_path / "stopped"
    more = ("training.epochs=4", *REMEMBERING)
    assert pair.run(training(project, radiographs, whole, *more)) == (0, 0), pair.first.said()
    pids = pair.start(training(project, radiographs, run, *more))
    wait_for(lambda: len(events(run)) > 1, "a step")
    os.kill(pids[1], signal.SIGTERM)  # whoever hears of it, all stop at the same step
    assert pair.end() == (3, 3), pair.first.said()
    told = events(run)
    assert told[-1] == {**told[-1], "event": "end", "state": "stopped"}
    assert (run / "checkpoints" / "last.pt").exists()
    assert pair.run(["train", "--run", str(run), "--resume"]) == (0, 0), pair.first.said()
    assert different(whole, run) == []
    epochs = [event["epoch"] for event in events(run) if event["event"] == "epoch"]
    assert epochs == [1, 2, 3, 4], "written once, by the first rank"


def test_two_ranks_that_are_killed_resume_to_the_same_bits(
    pair: Pair, project: Path, radiographs: Path, tmp_path: Path
) -> None:
    whole, run = tmp_path / "whole", tmp_path / "killed"
    assert pair.run(training(project, radiographs, whole)) == (0, 0), pair.first.said()
    pids = pair.start(training(project, radiographs, run), (("writing last.pt", 2, 0.0), None))
    assert pair.first.end() == -signal.SIGKILL
    with contextlib.suppress(ProcessLookupError):  # it has noticed by itself
        os.kill(pids[1], signal.SIGKILL)
    pair.second.end()
    assert pair.run(["train", "--run", str(run), "--resume"]) == (0, 0), pair.first.said()
    assert different(whole, run) == []


def test_a_process_that_dies_ends_the_others_with_the_cause(project: Path, radiographs: Path, tmp_path: Path) -> None:
    run, job = tmp_path / "run", tmp_path / "job"
    job.mkdir()
    argv = training(project, radiographs, run, "training.epochs=10000")
    process = subprocess.Popen(
        [sys.executable, "-m", "engine.cli", *argv],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        cwd=project,
        process_group=0,
        env={**os.environ, "OMP_NUM_THREADS": "1", "XRAY_JOB_DIR": str(job), "CUDA_VISIBLE_DEVICES": "GPU-a,GPU-b"},
    )
    wait_for(lambda: len(events(run)) > 1 or process.poll() is not None, "a step")
    (other,) = children(process.pid)
    os.kill(other, signal.SIGKILL)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 1, error
    cause = "the process of GPU 2 of 2 was killed by signal 9"
    assert error.strip().splitlines()[-1].endswith(f" {cause}")  # after the time
    assert f'"cause": "{cause}"' in (job / "end.json").read_text()
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)


def test_a_batch_that_cannot_be_shared_is_one_line(
    pair: Pair, project: Path, radiographs: Path, tmp_path: Path
) -> None:
    pair.start(training(project, radiographs, tmp_path / "run", "training.batch_size=7"))
    assert pair.end()[0] == 2
    assert pair.first.said()[-1] == "training.batch_size: expected a multiple of 2, the number of GPUs; got 7"
    assert not (tmp_path / "run").exists()


def test_every_image_of_a_batch_is_one_ranks(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    from engine.contract.training import TrainingConfig
    from engine.data.sampling import Batches

    training = TrainingConfig(epochs=2, batch_size=6, positive_share=0.5)
    fractured = [place % 3 == 0 for place in range(20)]
    whole = list(Batches(fractured, training, 1))
    shares = [list(Batches(fractured, training, 1, rank=rank, ranks=3)) for rank in range(3)]
    for batch, *parts in zip(whole, *shares, strict=True):
        assert sorted(batch) == sorted(draw for part in parts for draw in part)
        assert {len(part) for part in parts} == {2}


def test_a_job_trains_on_all_gpus_that_it_was_given(monkeypatch: pytest.MonkeyPatch) -> None:
    from engine.training.followers import count

    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-a,GPU-b")
    monkeypatch.delenv("XRAY_JOB_DIR", raising=False)
    assert count(None) == 1, "a shell may see all GPUs of the server: they are not this training's"
    monkeypatch.setenv("XRAY_JOB_DIR", "/job")
    assert count(None) == 2
    assert count(1) == 1
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert count(None) == 1


def test_gpus_are_a_whole_number(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["train", "--gpus", "0"])
    assert "expected a whole number from 1 to 64" in capsys.readouterr().err


def events(run: Path) -> list[dict[str, object]]:
    path = run / "events.jsonl"
    return list(parse_events(path.read_text())) if path.exists() else []


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def wait_for(condition: object, what: str) -> None:
    deadline = time.monotonic() + 90
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline, what
        time.sleep(0.01)
