"""A network being trained: network, optimiser, schedule, scaler and EMA; one step, and their state in a checkpoint."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
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
from engine.evaluation.config_check import check_config
from engine.models.checkpoint import Damaged, load_checkpoint, load_network, save_checkpoint
from engine.models.network import XrayNetwork, build_network
from engine.process.device import Device, to_device
from engine.process.provenance import computed
from engine.training.checkpoints import Best
from engine.training.initial_weights import load_initial_weights
from engine.training.losses import training_loss
from engine.training.optimizer import WHOLE, Part, freeze_batch_norm, make_optimizer, make_schedule
from engine.training.ranks import ALONE, Ranks

_WARMUP_POWER = 3 / 4
"""Of the average's decay, which is the smaller of the config's and 1 - n^(-3/4) after n updates: 0 at the first, 0.97
at the hundredth, 0.994 at the thousandth. So the average forgets the random initial weights, and a short training
averages its last third or fifth. timm's value for trainings of less than a million updates."""

STEPS = 2
"""Raised when a change of the engine changes the result of a step; version 1 augmented image by image."""

PARTS = ("network", "optimizer", "schedule", "scaler")


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
    ema: ModelEmaV3 | None
    """The moving average of the weights in a network of its own, always in eval mode. Batch norm statistics are
    averaged like weights; counters are copied."""
    ranks: Ranks
    forward: nn.Module
    """The network, with gradients averaged over the ranks."""

    @property
    def evaluated_network(self) -> XrayNetwork:
        """The network that is validated and kept as the best: the EMA if there is one."""
        network = self.network if self.ema is None else self.ema.module
        assert isinstance(network, XrayNetwork)
        return network

    def step(self, batch: Batch, epoch: float, part: Part = WHOLE) -> torch.Tensor:
        """Compute the gradients of a batch and, with the last part of an update, update the weights; returns the loss,
        still on the device. `epoch`: epochs so far, with fractions. Nothing here waits for the device."""
        image, mask, fractured = on_device(batch, self.device.device, self.config.augment)
        if part.is_first:
            self.optimizer.zero_grad(set_to_none=True)
        with (
            self.forward.no_sync()  # gradients are added up on each rank, and averaged with the last part
            if isinstance(self.forward, nn.parallel.DistributedDataParallel) and not part.is_last
            else contextlib.nullcontext()
        ):
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

    def save_best(self, path: Path, state: State, epoch: int, origin: Mapping[str, object]) -> None:
        """Save what an evaluation needs. `origin`: where the run comes from, such as its data's fingerprints."""
        values = {
            "network": self.evaluated_network.state_dict(),
            "config": self.config.model_dump(mode="json"),
            "epoch": epoch,
            "metrics": state.metrics,
            **self._origin(state, origin),
        }
        save_checkpoint(path, values)

    def save_last(self, path: Path, state: State, data_key: str, origin: Mapping[str, object]) -> None:
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
                "ema": None if self.ema is None else self.ema.module.state_dict(),
                "state": asdict(state),
                "config": self.config.model_dump(mode="json"),
                "rng": rng,
                "cuda_rng": cuda_rng,
                **conditions(self.ranks.size),
                "data": data_key,
                **self._origin(state, origin),
            },
        )

    def _origin(self, state: State, origin: Mapping[str, object]) -> dict[str, object]:
        return {**origin, "training": computed(f"{self.device.name}, {self.device.precision}", state.seconds)}

    def restore(self, path: Path, data_key: str) -> State:
        """Continue from a last.pt. Raises BadInput where it is damaged, or of other training images."""
        try:
            saved = load_checkpoint(path, *PARTS, "state", *(["ema"] if self.ema else []))
        except Damaged as error:
            raise BadInput(f"{error.lines[0]}; evaluate {names.BEST}, or train a new run") from None
        if saved.get("data") != data_key:
            raise BadInput(f"{clean(str(path))}: the training images have changed; train a new run")
        check_config(self.config, path, saved, training=True)
        load_network(self.network, saved["network"], path)
        if self.ema is not None:
            load_network(self.ema.module, saved["ema"], path)
        for name in PARTS[1:]:
            if saved[name]:  # a disabled scaler has no state
                getattr(self, name).load_state_dict(saved[name])
        if not self.device.is_cuda:
            restore_conditions(saved, self.ranks.size)
        for key, restore in (("rng", torch.set_rng_state), ("cuda_rng", torch.cuda.set_rng_state)):
            states = saved[key] if isinstance(saved[key], list) else [saved[key]]
            if self.ranks.rank < len(states) and states[0] is not None and (key == "rng" or self.device.is_cuda):
                restore(states[self.ranks.rank])  # a rank that did not exist before keeps its initial state
        best = saved["state"]["best"]  # version 0.1 has only the best epoch's score
        return State(**saved["state"] | {"best": Best(**best) if isinstance(best, dict) else Best(score=best)})


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
    ema = None
    if training.ema is not None:
        # Not torch's AveragedModel: at each update it copies its counter to the GPU, which waits for the GPU.
        ema = ModelEmaV3(network, decay=training.ema, use_warmup=True, warmup_power=_WARMUP_POWER)
        ema.requires_grad_(False)
    if training.compile:
        network.compile()  # in place: tensor names stay the same
    return Learner(config, device, network, optimizer, schedule, scaler, ema, ranks, ranks.wrap(network, device))
