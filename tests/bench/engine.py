"""What the engine adds to a bare loop: training and hv prediction, as shares of what the same network does alone.

    python -P tests/bench/engine.py [--config RECIPE] [--manifest CSV] [--set KEY=VALUE] [--rounds N]

-P: or this file would stand for the package `engine`. Without a manifest on 100 radiographs made for it.

Ours and the bare loop take turns, a step each (on a GPU ten, so that it need not be waited for in between), so that a
busy machine slows both. Printed are medians over the rounds, and in brackets the least and the most. On a CPU that
others use as well the clock says little about one step: there the processor time of this process is judged.

- Ours is `engine.training.loop.train` as a user starts it, up to the end of an epoch, with the images cached and in
  memory (`data.cache=false`). It waits for data while it asks the loader for a batch.
- Bare is forward, loss, backward and AdamW on batches that are tensors on the device before it starts, with the same
  augmentation, precision and memory layout. What a recipe asks for besides (EMA, clipping) is in ours alone.
- Prediction is what an evaluation does, from cached images to quantised probabilities, against three forward passes on
  tensors on the device.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import math
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # weights are of no interest here
os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # threads that spin would measure what else runs on the machine

import torch

from engine.contract.config import TrainConfig
from engine.contract.load import load_config
from engine.data.batches import Batch, on_device
from engine.data.synthetic import make_synthetic
from engine.evaluation.run import device_of, open_run, predict_samples
from engine.evaluation.scores import quantise
from engine.models.network import build_network
from engine.process.device import Device, peak_memory, pick_device, to_device
from engine.training import loop
from engine.training.data import TrainingData, load_training_data, make_batches, make_loader
from engine.training.losses import training_loss
from engine.training.ranks import ALONE

RECIPES = Path(__file__).resolve().parents[2] / "configs"
SMALL = ("data.image_size=64", "training.batch_size=8")
"""Without a manifest: two busy cores have to be done within two minutes."""
HELD = 4
"""Batches that the bare loop has in memory, again and again."""
STEPS = {"cpu": 1, "cuda": 10}
"""Of a turn."""
UNCOUNTED = 2
"""First rounds, which compile kernels and fill caches."""
AT_LEAST, AT_MOST_WAITING = 0.95, 0.03
"""Of the bare speed; of the time of a training."""


class Seconds(NamedTuple):
    """By the clock, and of all processors for this process."""

    clock: float
    processor: float

    def since(self, begun: Seconds) -> Seconds:
        return Seconds(self.clock - begun.clock, self.processor - begun.processor)


class Round(NamedTuple):
    """One turn each."""

    ours: Seconds
    bare: Seconds
    waiting: float = 0.0
    """Of ours: for data, by the clock."""


def trained(config: TrainConfig, run: Path, device: Device, bare: Callable[[], None], rounds: int) -> list[Round]:
    """Train an epoch into a new run folder, a bare turn after each of its own."""
    found: list[Round] = []
    steps = STEPS[device.device.type]

    def in_turns(*given: Any) -> Iterator[Batch]:
        loader = iter(make_loader(*given))
        for _ in range(rounds):
            waited, begun = 0.0, now(device)
            for _ in range(steps):
                asked = time.perf_counter()
                batch = next(loader)
                waited += time.perf_counter() - asked
                yield batch  # and back here once the loop has done with it
            taken = now(device).since(begun)
            found.append(Round(taken, seconds_of(bare, device, steps), waited))
        yield from loader  # the end of the epoch, with its validation and checkpoints, is no part of the pace

    run.mkdir()
    training = {"samples_per_epoch": (rounds * steps + 1) * config.training.batch_size}
    config = config.model_copy(update={"training": config.training.model_copy(update=training)})
    with patch.object(loop, "make_loader", in_turns), quiet():
        loop.train(config, run, resume=False)
    return found[UNCOUNTED:]


def bare_training(config: TrainConfig, device: Device, training_data: TrainingData) -> Callable[[], None]:
    """One step without anything around it."""
    loader = make_loader(config, training_data.training, make_batches(config, training_data.training, 0, ALONE), device)
    first = itertools.islice(loader, HELD)
    held = itertools.cycle([Batch(*(part.to(device.device) for part in batch)) for batch in first])
    network = to_device(build_network(config.model, pretrained=False), device).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4)

    def step() -> None:
        image, mask, fractured = on_device(next(held), device.device, config.augment)
        with device.autocast():
            prediction = network(image)
        loss = training_loss(prediction, mask, fractured, config.loss, math.inf)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    return step


def predicted(run: Path, training_data: TrainingData, batch_size: int) -> list[Round]:
    """Predict the training images with the views hv, three bare forward passes after each batch."""
    opened = open_run(run)
    device = device_of(opened)
    network = to_device(build_network(opened.config.model, pretrained=False), device).eval()
    samples = training_data.training.samples
    held = torch.tensor(training_data.training.images[:batch_size]).to(device.device)[:, None].float() / 255

    @torch.inference_mode()
    def three_passes() -> None:
        for _ in range(3):
            network(held)

    found = []
    with quiet():
        batches = predict_samples(opened, samples, opened.manifest, "hv", batch_size, device)
        for _ in range(len(samples) // batch_size):
            begun = now(device)
            _, maps, _ = next(batches)
            assert maps is not None
            quantise(maps)
            found.append(Round(now(device).since(begun), seconds_of(three_passes, device)))
    return found[UNCOUNTED:]


def now(device: Device) -> Seconds:
    """Once the device is done."""
    if device.is_cuda:
        torch.cuda.synchronize()
    return Seconds(time.perf_counter(), time.process_time())


def seconds_of(work: Callable[[], None], device: Device, times: int = 1) -> Seconds:
    begun = now(device)
    for _ in range(times):
        work()
    return now(device).since(begun)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    with (
        Path(os.devnull).open("w") as nowhere,
        contextlib.redirect_stdout(nowhere),
        contextlib.redirect_stderr(nowhere),
    ):
        yield


def seconds_to_read(config: TrainConfig) -> float:
    begun = time.perf_counter()
    with quiet():
        load_training_data(config)
    return time.perf_counter() - begun


def show(name: str, rounds: Sequence[Round], images: int, device: Device) -> None:
    """Print the speeds of rounds of so many images a turn, and ours as a share of the bare one."""
    for whose, turns in (("bare", [one.bare for one in rounds]), ("ours", [one.ours for one in rounds])):
        median, least, most = (images / at(turn.clock for turn in turns) for at in (statistics.median, max, min))
        print(f"{f'{name}, {whose}':<27} {median:.1f} ({least:.1f} to {most:.1f}) images/s")
    by_clock = statistics.median(one.bare.clock / one.ours.clock for one in rounds)
    of_processor = statistics.median(one.bare.processor / one.ours.processor for one in rounds)
    share = by_clock if device.is_cuda else of_processor
    shares = f"{by_clock:.3f}" + ("" if device.is_cuda else f", in processor time {of_processor:.3f}")
    print(f"  of the bare speed         {shares}; at least {AT_LEAST} is wanted: {yes(share >= AT_LEAST)}")


def show_waiting(rounds: Sequence[Round]) -> None:
    share = sum(one.waiting for one in rounds) / sum(one.ours.clock for one in rounds)
    wanted = f"under {AT_MOST_WAITING:.0%} is wanted: {yes(share < AT_MOST_WAITING)}"
    print(f"  waiting for data          {share:.2%}; {wanted}")


def yes(is_met: bool) -> str:
    return "yes" if is_met else "NO"


def measure(config: TrainConfig, folder: Path, rounds: int) -> None:
    """Print all figures."""
    uncached = config.model_copy(update={"data": config.data.model_copy(update={"cache": False})})
    cold, warm, without = seconds_to_read(config), seconds_to_read(config), seconds_to_read(uncached)
    with quiet():
        training_data = load_training_data(config)
    device = pick_device(config.device, config.training.precision, config.training.channels_last)
    per_step = config.training.batch_size
    work = f"batches of {per_step} at {config.data.image_size} pixels, {rounds} rounds"
    print(f"{device.name}, {torch.get_num_threads()} threads, {device.precision}; {work}")
    print(f"images are read in          {cold:.2f} s at first, {warm:.3f} s from the cache, {without:.2f} s without it")
    bare = bare_training(config, device, training_data)
    for name, given in (("cached", config), ("in memory", uncached)):
        found = trained(given, folder / name, device, bare, rounds + UNCOUNTED)
        show(f"training, {name}", found, per_step * STEPS[device.device.type], device)
        show_waiting(found)
    show("hv prediction", predicted(folder / "cached", training_data, per_step), per_step, device)
    resident, reserved = peak_memory()
    gpu = f", on the GPU {reserved / 2**30:.2f} GiB" if reserved else ""
    print(f"peak memory of all this     {resident / 2**30:.2f} GiB{gpu}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, default=RECIPES / "dg_aug_seeds.yaml", help="a recipe of kind train")
    parser.add_argument("--manifest", type=Path, help="any data; default: radiographs made for this")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="as of xray-engine train")
    parser.add_argument("--rounds", type=int, default=15, help="default: %(default)s")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        manifest = given.manifest or make_synthetic(folder / "data", 100, 128, 1)
        small = () if given.manifest else SMALL
        config = load_config(given.config, [f"data.manifest={manifest}", "training.epochs=1", *small, *given.set])
        if not isinstance(config, TrainConfig):
            parser.error(f"{given.config}: kind: {config.kind}; a recipe that trains is right")
        measure(config, folder, given.rounds)


if __name__ == "__main__":
    main()
