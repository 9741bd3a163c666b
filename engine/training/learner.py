"""A network being trained: network, optimiser, schedule, scaler and EMA; one step, and their state in a checkpoint."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from timm.utils.model_ema import ModelEmaV3
from torch import nn

from engine.contract import names
from engine.contract.config import LearnConfig
from engine.contract.errors import BadInput
from engine.contract.text import clean
from engine.data.batches import Batch, on_device
from engine.models.checkpoint import Damaged, load_checkpoint, load_network, save_checkpoint
from engine.models.network import XrayNetwork, build_network
from engine.process.device import Device, to_device
from engine.training.checkpoints import Best
from engine.training.initial_weights import load_initial_weights
from engine.training.losses import training_loss
from engine.training.optimizer import WHOLE, Part, freeze_batch_norm, make_optimizer, make_schedule
from engine.training.ranks import ALONE, Ranks

_WARMUP_POWER = 3 / 4
"""timm's value for trainings of less than a million updates."""

STEPS = 2
"""Raised when a change of the engine changes the result of a step; version 1 augmented image by image."""

PARTS = ("network", "optimizer", "schedule", "scaler")

Fingerprints = Mapping[str, str]
"""Split -> fingerprint of its data."""


class Ema:
    """The exponential moving average of the weights, in its own network that is always in eval mode.

    The decay warms up: after n updates it is the smaller of the config's and 1 - n^(-3/4), which is 0 at the first
    update, 0.97 at the hundredth and 0.994 at the thousandth. So the average forgets the random initial weights, and a
    short training averages its last third or fifth. Batch norm statistics are averaged like weights; counters are
    copied.

    timm's, because torch's AveragedModel copies its counter to the GPU at each update, which waits for the GPU.
    """

    def __init__(self, network: XrayNetwork, decay: float) -> None:
        """Copy the network, on the network's device."""
        self._average = ModelEmaV3(network, decay=decay, use_warmup=True, warmup_power=_WARMUP_POWER)
        self._average.requires_grad_(False)

    @property
    def network(self) -> XrayNetwork:
        network = self._average.module
        assert isinstance(network, XrayNetwork)
        return network

    def update(self, network: XrayNetwork, updates: int) -> None:
        """Add the weights after an update; `updates` is its number. Does not wait for the device."""
        self._average.update(network, updates)

    def decay(self, updates: int) -> float:
        """Weight of the average before that update."""
        return float(self._average.get_decay(updates))


def conditions(ranks: int) -> dict[str, str | int]:
    """Conditions of a bit-exact resume on this CPU; saved in every last.pt."""
    return {
        "ranks": ranks,
        "threads": torch.get_num_threads(),
        "torch": str(torch.__version__),  # a str subclass, which safe loading rejects
        "processor": torch.backends.cpu.get_cpu_capability(),
        "steps of version": STEPS,
    }


def restore_conditions(saved: Mapping[str, Any], ranks: int) -> None:
    """Use as many threads as before, because another number sums in another order, unless OMP_NUM_THREADS is set or
    there are fewer cores. Prints a line if that or another condition differs."""
    if "OMP_NUM_THREADS" not in os.environ and saved["threads"] <= len(os.sched_getaffinity(0)):
        torch.set_num_threads(saved["threads"])
    before = {"steps of version": 1, **saved}
    changed = [
        f"{key} {before[key]}, now {now}" for key, now in conditions(ranks).items() if before.get(key, now) != now
    ]
    if changed:
        print(f"this resume is not bit-exact: {'; '.join(changed)}", flush=True)


@dataclass(slots=True)
class State:
    """The state of a training besides tensors; saved in every last.pt."""

    step: int = 0
    loss_sum: float = 0.0
    """Sum over the current epoch so far."""
    best: Best = field(default_factory=Best)
    seconds: float = 0.0
    events_bytes: int = 0
    metrics: dict[str, float] = field(default_factory=dict)
    """Of the last validation."""


@dataclass(frozen=True, slots=True)
class Learner:
    """A network being trained."""

    config: LearnConfig
    device: Device
    network: XrayNetwork
    optimizer: torch.optim.Optimizer
    schedule: torch.optim.lr_scheduler.LRScheduler
    scaler: torch.amp.GradScaler
    ema: Ema | None
    ranks: Ranks
    forward: nn.Module
    """The network, with gradients averaged over the ranks."""

    @property
    def evaluated_network(self) -> XrayNetwork:
        """The network that is validated and kept as the best: the EMA if there is one."""
        return self.network if self.ema is None else self.ema.network

    def step(self, batch: Batch, epoch: float, part: Part = WHOLE) -> torch.Tensor:
        """Compute the gradients of a batch and, with the last part of an update, update the weights; returns the loss,
        still on the device. `epoch`: epochs so far, with fractions. Nothing here waits for the device."""
        image, mask, fractured = on_device(batch, self.device.device, self.config.augment)
        if part.is_first:
            self.optimizer.zero_grad(set_to_none=True)
        with contextlib.nullcontext() if part.is_last else self.ranks.without_sync(self.forward):
            with self.device.autocast():
                prediction = self.forward(image)
            loss = training_loss(prediction, mask, fractured, self.config.loss, epoch, self.ranks.mean)
            self.scaler.scale(loss / part.of).backward()
        if part.is_last:
            self._update()
        return loss.detach()

    def _update(self) -> None:
        """Infinite or NaN gradients clip to NaN. With float16 the scaler then skips the update, and the schedule
        continues."""
        if self.config.training.grad_clip is not None:
            self.scaler.unscale_(self.optimizer)
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.config.training.grad_clip)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.schedule.step()
        if self.ema is not None:
            self.ema.update(self.network, self.schedule.last_epoch)

    @property
    def learning_rate(self) -> float:
        """The highest of the groups' rates."""
        return max(float(rate) for rate in self.schedule.get_last_lr())

    def save_best(self, path: Path, state: State, epoch: int, fingerprints: Fingerprints) -> None:
        """Save what an evaluation needs."""
        values = {
            "network": self.evaluated_network.state_dict(),
            "config": self.config.model_dump(mode="json"),
            "epoch": epoch,
            "metrics": state.metrics,
            "fingerprints": dict(fingerprints),
        }
        save_checkpoint(path, values)

    def save_last(self, path: Path, state: State, data_key: str, fingerprints: Fingerprints) -> None:
        """Save everything that a resumed training needs for an exact continuation. Rank 0 writes the file; every rank
        contributes its random state."""
        rng = self.ranks.gather(torch.get_rng_state())
        cuda_rng = self.ranks.gather(torch.cuda.get_rng_state()) if self.device.is_cuda else None
        if not self.ranks.is_first:
            return
        save_checkpoint(
            path,
            {
                **{name: getattr(self, name).state_dict() for name in PARTS},
                "ema": None if self.ema is None else self.ema.network.state_dict(),
                "state": asdict(state),
                "config": self.config.model_dump(mode="json"),
                "rng": rng,
                "cuda_rng": cuda_rng,
                **conditions(self.ranks.size),
                "data": data_key,
                "fingerprints": dict(fingerprints),
            },
        )

    def restore(self, path: Path, data_key: str) -> State:
        """Continue from a last.pt. Raises BadInput where it is damaged, or of other training images."""
        try:
            saved = load_checkpoint(path, *PARTS, "state", *(["ema"] if self.ema else []))
        except Damaged as error:
            raise BadInput(f"{error.lines[0]}; {_instead(path.with_name(names.BEST))}") from None
        if saved.get("data") != data_key:
            raise BadInput(f"{clean(str(path))}: the training images have changed; train a new run")
        load_network(self.network, saved["network"], path)
        if self.ema is not None:
            load_network(self.ema.network, saved["ema"], path)
        for name in PARTS[1:]:
            if saved[name]:  # a disabled scaler has no state
                getattr(self, name).load_state_dict(saved[name])
        if not self.device.is_cuda:
            restore_conditions(saved, self.ranks.size)
        self._restore_random(saved["rng"], torch.set_rng_state)
        if self.device.is_cuda and saved["cuda_rng"] is not None:
            self._restore_random(saved["cuda_rng"], torch.cuda.set_rng_state)
        return _state(saved["state"])

    def _restore_random(self, saved: Any, take: Callable[[torch.Tensor], None]) -> None:
        """Restore this rank's random state. A rank that did not exist before keeps its initial one."""
        states = saved if isinstance(saved, list) else [saved]
        if self.ranks.rank < len(states):
            take(states[self.ranks.rank])


def _instead(best: Path) -> str:
    """What to do when last.pt is damaged."""
    try:
        epoch = int(load_checkpoint(best, "network")["epoch"])
    except (BadInput, KeyError, TypeError, ValueError):
        return "train a new run"
    return f"{best.name} of epoch {epoch} is intact: evaluate it, or train a new run"


def _state(saved: dict[str, Any]) -> State:
    """The state in a last.pt. Older ones have only the score of the best epoch."""
    best = saved["best"]
    return State(**{**saved, "best": Best(**best) if isinstance(best, dict) else Best(score=best)})


def make_learner(
    config: LearnConfig, device: Device, steps_per_epoch: int, *, pretrained: bool, ranks: Ranks = ALONE
) -> Learner:
    """A new learner. `pretrained`: with the config's initial weights; otherwise a checkpoint is loaded next. With
    `init_from` no encoder weights are fetched, because they would be replaced."""
    training = config.training
    initial = training.init_from if pretrained else None
    network = ranks.first_rank_first(lambda: build_network(config.model, pretrained=pretrained and initial is None))
    if initial is not None:
        load_initial_weights(network, initial)
    to_device(network, device)
    if training.freeze_batch_norm:
        freeze_batch_norm(network)
    optimizer = make_optimizer(network, training, device)
    schedule = make_schedule(optimizer, training, steps_per_epoch)
    scaler = torch.amp.GradScaler(device.device.type, enabled=device.scales_gradients)
    ema = None if training.ema is None else Ema(network, training.ema)
    if training.compile:
        network.compile()  # in place: tensor names stay the same
    return Learner(config, device, network, optimizer, schedule, scaler, ema, ranks, ranks.wrap(network, device))
