"""One page about training on this machine's GPU: how fast, in which precision, in how much memory.

    python -P tests/bench/acceptance.py [--device cuda|cpu] [--config RECIPE] [--set KEY=VALUE] [--batch N] [--steps N]

What `make test-gpu` prints after its tests. -P: or this folder's files would stand for the package `engine`. Each
precision trains the same network on the same batch from the same seed. Floating-point operations are counted by
torch's FlopCounterMode (convolutions and matrix products, forward and backward); the peak that they are compared with
is not the vendor's but what one large matrix product in the same precision reached here, a moment before.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # weights are of no interest here

import torch
from torch.utils.flop_counter import FlopCounterMode

from engine.contract.config import TrainConfig
from engine.contract.errors import BadInput
from engine.contract.load import load_config
from engine.contract.models import title
from engine.data.augment import NUMBERS
from engine.data.batches import Batch
from engine.process.device import Device, pick_device
from engine.training.learner import Learner, make_learner

RECIPES = Path(__file__).resolve().parents[2] / "configs"
WARM_UP = 3


@dataclass(frozen=True, slots=True)
class Speed:
    """What training in one precision reached."""

    precision: str
    images_per_s: float
    gib: float | None
    """GPU memory that torch reserved at most; None on a CPU."""
    tflops: float
    peak_tflops: float
    loss: float
    """Behind the last step."""

    @property
    def share(self) -> float:
        return self.tflops / self.peak_tflops


def speed(config: TrainConfig, device: Device, steps: int) -> Speed:
    """Train on one batch in memory, again and again."""
    if device.is_cuda:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    torch.manual_seed(config.seed)
    learner = make_learner(config, device, steps + WARM_UP, pretrained=False)
    learner.network.train()
    batch = a_batch(config.training.batch_size, config.data.image_size)
    operations = count_operations(learner, batch)
    for _ in range(WARM_UP):
        learner.step(batch, 1.0)
    seconds, loss = timed(device, lambda: [learner.step(batch, 1.0) for _ in range(steps)][-1])
    per_s = steps / seconds
    reserved = torch.cuda.max_memory_reserved() / 2**30 if device.is_cuda else None
    return Speed(
        device.precision,
        per_s * len(batch.image),
        reserved,
        per_s * operations / 1e12,
        peak_tflops(device),
        float(loss),
    )


def a_batch(count: int, size: int) -> Batch:
    """Grey noise, half of it with a square for a fracture; always the same."""
    drawn = torch.Generator().manual_seed(0)
    image = torch.randint(0, 256, (count, 1, size, size), dtype=torch.uint8, generator=drawn)
    mask = torch.zeros(count, 1, size, size, dtype=torch.bool)
    mask[::2, :, size // 4 : size // 2, size // 4 : size // 2] = True
    fractured = mask.flatten(1).any(1).float()
    return Batch(image, mask, fractured, torch.arange(count), torch.rand(count, NUMBERS, generator=drawn))


def count_operations(learner: Learner, batch: Batch) -> int:
    """Floating-point operations of one step."""
    with FlopCounterMode(display=False) as counter:
        learner.step(batch, 1.0)
    return counter.get_total_flops()


def peak_tflops(device: Device) -> float:
    """What a product of two large square matrices reaches in the precision that the network computes in."""
    side = 8192 if device.is_cuda else 1024
    dtype = device.autocast_dtype or torch.float32
    matrix = torch.randn(side, side, device=device.device, dtype=dtype)
    matrix @ matrix
    best = min(timed(device, lambda: matrix @ matrix)[0] for _ in range(10))
    return 2 * side**3 / best / 1e12


def timed(device: Device, do: Callable[[], torch.Tensor]) -> tuple[float, torch.Tensor]:
    """(seconds until the device is done, what came of it)."""
    if device.is_cuda:
        torch.cuda.synchronize()
    begun = time.perf_counter()
    done = do()
    if device.is_cuda:
        torch.cuda.synchronize()
    return time.perf_counter() - begun, done


def page(config: TrainConfig, kind: str, precisions: Sequence[str], steps: int) -> list[str]:
    """The page, a line each."""
    lines = [*about(kind), ""]
    size, batch = config.data.image_size, config.training.batch_size
    lines.append(f"training {title(config.model)}, {size} x {size}, {batch} images a step, {steps} steps")
    lines.append(f"{'precision':10} {'images/s':>9} {'GiB':>6} {'TFLOP/s':>8} {'of a matrix product':>20} {'loss':>8}")
    for precision in precisions:
        try:
            found = speed(config, pick_device(kind, precision, config.training.channels_last), steps)
        except BadInput as error:
            lines.append(f"{precision:10} {error.lines[0]}")
            continue
        gib = "-" if found.gib is None else f"{found.gib:.1f}"
        of_peak = f"{found.share:.0%} of {found.peak_tflops:.3g}"
        lines.append(
            f"{found.precision:10} {found.images_per_s:9.1f} {gib:>6} {found.tflops:8.3g} {of_peak:>20} "
            f"{found.loss:8.4f}"
        )
    return lines


def about(kind: str) -> list[str]:
    """What computes."""
    if kind != "cuda":
        return [f"CPU, {torch.get_num_threads()} threads; torch {torch.__version__}"]
    lines = []
    for index in range(torch.cuda.device_count()):
        card = torch.cuda.get_device_properties(index)
        memory, compute = card.total_memory / 2**30, f"{card.major}.{card.minor}"
        lines.append(f"GPU {index}  {card.name}, {memory:.1f} GiB, compute capability {compute}")
    return [*lines, f"torch {torch.__version__}, CUDA {torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}"]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--config", type=Path, default=RECIPES / "pretrained_dual_head.yaml", metavar="RECIPE")
    parser.add_argument("--set", action="append", default=[], dest="overrides", metavar="KEY=VALUE")
    parser.add_argument("--batch", type=int, default=64, metavar="N", help="images a step (default 64)")
    parser.add_argument("--steps", type=int, default=30)
    given = parser.parse_args(arguments)
    try:
        config = load_config(given.config, given.overrides)
        if not isinstance(config, TrainConfig):
            raise BadInput(f"{given.config}: kind: {config.kind}; kind: train is right here")
        pick_device(given.device)
        config = config.model_copy(update={"training": config.training.model_copy(update={"batch_size": given.batch})})
    except BadInput as error:
        print("\n".join(error.lines), file=sys.stderr)
        return 2
    precisions = ("fp32", "bf16", "fp16") if given.device == "cuda" else ("fp32", "bf16")
    print("\n".join(page(config, given.device, precisions, given.steps)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
