"""What learns: network, optimiser, schedule and scaler; one step of it, and its state in a checkpoint."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from engine.contract import names
from engine.contract.config import TrainConfig
from engine.contract.errors import BadInput
from engine.contract.text import clean
from engine.data.dataset import Batch, on_device
from engine.device import Device, place
from engine.models.checkpoint import Damaged, load_checkpoint, load_network, save_checkpoint
from engine.models.network import XrayNetwork, build_network
from engine.training.exactness import conditions, take_up
from engine.training.losses import training_loss
from engine.training.ranks import ALONE, Ranks
from engine.training.schedule import make_optimizer, make_schedule

PARTS = ("network", "optimizer", "schedule", "scaler")


@dataclass(slots=True)
class State:
    """What a training knows besides tensors; all of it is in every last.pt."""

    step: int = 0
    loss_sum: float = 0.0
    """Of the current epoch, so far."""
    best: float = -math.inf
    seconds: float = 0.0
    events_bytes: int = 0
    metrics: dict[str, float] = field(default_factory=dict)
    """Of the last validation."""


@dataclass(frozen=True, slots=True)
class Learner:
    """A network being trained."""

    config: TrainConfig
    device: Device
    network: XrayNetwork
    optimizer: torch.optim.Optimizer
    schedule: torch.optim.lr_scheduler.LRScheduler
    scaler: torch.amp.GradScaler
    ranks: Ranks
    forward: nn.Module
    """The network, with gradients that are averaged over the ranks."""

    def step(self, batch: Batch, epoch: float) -> torch.Tensor:
        """One optimiser step; the loss, still on the device. `epoch`: how many have passed, fractions included."""
        image, mask, fractured = on_device(batch, self.device.device, self.config.augment)
        with self.device.autocast():
            prediction = self.forward(image)
        loss = training_loss(prediction, mask, fractured, self.config.loss, epoch, self.ranks.mean)
        self.optimizer.zero_grad(set_to_none=True)
        self.scaler.scale(loss).backward()
        if self.config.training.grad_clip is not None:
            self.scaler.unscale_(self.optimizer)
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.config.training.grad_clip)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.schedule.step()
        return loss.detach()

    @property
    def learning_rate(self) -> float:
        """The highest of the groups' own."""
        return max(float(rate) for rate in self.schedule.get_last_lr())

    def save_best(self, path: Path, state: State, epoch: int) -> None:
        """What an evaluation needs."""
        config = self.config.model_dump(mode="json")
        save_checkpoint(
            path, {"network": self.network.state_dict(), "config": config, "epoch": epoch, "metrics": state.metrics}
        )

    def save_last(self, path: Path, state: State, data_key: str) -> None:
        """Everything that a resumed training needs to go on as if it had never stopped. Rank 0 writes it, every rank
        gives its random state."""
        rng = self.ranks.gather(torch.get_rng_state())
        cuda_rng = self.ranks.gather(torch.cuda.get_rng_state()) if self.device.is_cuda else None
        if not self.ranks.is_first:
            return
        save_checkpoint(
            path,
            {
                **{name: getattr(self, name).state_dict() for name in PARTS},
                "state": asdict(state),
                "config": self.config.model_dump(mode="json"),
                "rng": rng,
                "cuda_rng": cuda_rng,
                **conditions(self.ranks.size),
                "data": data_key,
            },
        )

    def restore(self, path: Path, data_key: str) -> State:
        """Go on from a last.pt. Raises BadInput where it is damaged, or of other training images."""
        try:
            saved = load_checkpoint(path, *PARTS, "state")
        except Damaged as error:
            raise BadInput(f"{error.lines[0]}; {_instead(path.with_name(names.BEST))}") from None
        if saved.get("data") != data_key:
            raise BadInput(f"{clean(str(path))}: the training images are not those it began with; train a new run")
        load_network(self.network, saved["network"], path)
        for name in PARTS[1:]:
            if saved[name]:  # a scaler that was off has no state
                getattr(self, name).load_state_dict(saved[name])
        if not self.device.is_cuda:
            take_up(saved, self.ranks.size)
        self._restore_random(saved["rng"], torch.set_rng_state)
        if self.device.is_cuda and saved["cuda_rng"] is not None:
            self._restore_random(saved["cuda_rng"], torch.cuda.set_rng_state)
        return State(**saved["state"])

    def _restore_random(self, saved: Any, take: Callable[[torch.Tensor], None]) -> None:
        """This rank's random state; a rank that is new keeps the one that it began with."""
        states = saved if isinstance(saved, list) else [saved]
        if self.ranks.rank < len(states):
            take(states[self.ranks.rank])


def _instead(best: Path) -> str:
    """What is left where last.pt is damaged."""
    try:
        epoch = int(load_checkpoint(best, "network")["epoch"])
    except (BadInput, KeyError, TypeError, ValueError):
        return "train a new run"
    return f"{best.name}, of epoch {epoch}, is whole: evaluate that, or train a new run"


def make_learner(
    config: TrainConfig, device: Device, steps_per_epoch: int, *, pretrained: bool, ranks: Ranks = ALONE
) -> Learner:
    """A new learner; `pretrained`: with the config's encoder weights."""
    network = ranks.in_turn(lambda: build_network(config.model, pretrained=pretrained))
    place(network, device)
    optimizer = make_optimizer(network, config.training)
    schedule = make_schedule(optimizer, config.training, steps_per_epoch)
    scaler = torch.amp.GradScaler(device.device.type, enabled=device.scales_gradients)
    return Learner(config, device, network, optimizer, schedule, scaler, ranks, ranks.wrap(network, device))
