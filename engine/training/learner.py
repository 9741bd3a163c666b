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
from engine.process.device import Device, place
from engine.training.checkpoints import Best
from engine.training.initial_weights import start_from
from engine.training.losses import training_loss
from engine.training.optimizer import WHOLE, Part, freeze_batch_norm, make_optimizer, make_schedule
from engine.training.ranks import ALONE, Ranks

_WARMUP_POWER = 3 / 4
"""timm's for trainings of less than a million updates."""


class Ema:
    """The average, in a network of its own that is always in eval mode.

    The decay warms up: after n updates it is the smaller of the config's and 1 - n^(-3/4), which is 0 at the first
    update, 0.97 at the hundredth and 0.994 at the thousandth. So the average forgets the random weights that a
    training began with, and a short one gets one over its last third or fifth. Batch norm's statistics are averaged
    like weights; counters are copied.

    timm's, because torch's AveragedModel copies its counter to the GPU at each update, which waits for the GPU.
    """

    def __init__(self, network: XrayNetwork, decay: float) -> None:
        """A copy of the network, where that lies already."""
        self._average = ModelEmaV3(network, decay=decay, use_warmup=True, warmup_power=_WARMUP_POWER)
        self._average.requires_grad_(False)

    @property
    def network(self) -> XrayNetwork:
        network = self._average.module
        assert isinstance(network, XrayNetwork)
        return network

    def update(self, network: XrayNetwork, updates: int) -> None:
        """Take in the weights behind an update; `updates` counts it. Does not wait for the device."""
        self._average.update(network, updates)

    def decay(self, updates: int) -> float:
        """What the average before that update still counts for."""
        return float(self._average.get_decay(updates))


STEPS = 2
"""Raised when a change of the engine makes the same step compute something else; 1 augmented image by image."""


def conditions(ranks: int) -> dict[str, str | int]:
    """Of the arithmetic on this CPU, by so many ranks; they are in every last.pt."""
    return {
        "ranks": ranks,
        "threads": torch.get_num_threads(),
        "torch": str(torch.__version__),  # a class of its own, which no safe load takes
        "processor": torch.backends.cpu.get_cpu_capability(),
        "steps of version": STEPS,
    }


def take_up(saved: Mapping[str, Any], ranks: int) -> None:
    """Compute with as many threads as before, because another count sums in another order. Not where OMP_NUM_THREADS
    asks for others, or there are fewer cores; that, and all else that is not as before, is said in a line."""
    if "OMP_NUM_THREADS" not in os.environ and saved["threads"] <= len(os.sched_getaffinity(0)):
        torch.set_num_threads(saved["threads"])
    before = {"steps of version": 1, **saved}
    changed = [
        f"{key} {before[key]}, now {now}" for key, now in conditions(ranks).items() if before.get(key, now) != now
    ]
    if changed:
        print(f"not bit for bit as without the interruption: {'; '.join(changed)}", flush=True)


PARTS = ("network", "optimizer", "schedule", "scaler")

Fingerprints = Mapping[str, str]
"""Split -> fingerprint of its data."""


@dataclass(slots=True)
class State:
    """What a training knows besides tensors; all of it is in every last.pt."""

    step: int = 0
    loss_sum: float = 0.0
    """Of the current epoch, so far."""
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
    """The network, with gradients that are averaged over the ranks."""

    @property
    def network_that_counts(self) -> XrayNetwork:
        """What is validated, and kept as the best: the average of the weights, where there is one."""
        return self.network if self.ema is None else self.ema.network

    def step(self, batch: Batch, epoch: float, part: Part = WHOLE) -> torch.Tensor:
        """The gradients of a batch, and behind the last part of an update the update; the batch's loss, still on the
        device. `epoch`: how many have passed, fractions included. Nothing here waits for the device."""
        image, mask, fractured = on_device(batch, self.device.device, self.config.augment)
        if part.is_first:
            self.optimizer.zero_grad(set_to_none=True)
        with contextlib.nullcontext() if part.is_last else self.ranks.apart(self.forward):
            with self.device.autocast():
                prediction = self.forward(image)
            loss = training_loss(prediction, mask, fractured, self.config.loss, epoch, self.ranks.mean)
            self.scaler.scale(loss / part.of).backward()
        if part.is_last:
            self._update()
        return loss.detach()

    def _update(self) -> None:
        """Gradients that are infinite or NaN clip to NaN; with float16 the scaler, which has seen them, leaves the
        update out, and the schedule goes on without it."""
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
        """The highest of the groups' own."""
        return max(float(rate) for rate in self.schedule.get_last_lr())

    def save_best(self, path: Path, state: State, epoch: int, fingerprints: Fingerprints) -> None:
        """What an evaluation needs."""
        values = {
            "network": self.network_that_counts.state_dict(),
            "config": self.config.model_dump(mode="json"),
            "epoch": epoch,
            "metrics": state.metrics,
            "fingerprints": dict(fingerprints),
        }
        save_checkpoint(path, values)

    def save_last(self, path: Path, state: State, data_key: str, fingerprints: Fingerprints) -> None:
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
        """Go on from a last.pt. Raises BadInput where it is damaged, or of other training images."""
        try:
            saved = load_checkpoint(path, *PARTS, "state", *(["ema"] if self.ema else []))
        except Damaged as error:
            raise BadInput(f"{error.lines[0]}; {_instead(path.with_name(names.BEST))}") from None
        if saved.get("data") != data_key:
            raise BadInput(f"{clean(str(path))}: the training images are not those it began with; train a new run")
        load_network(self.network, saved["network"], path)
        if self.ema is not None:
            load_network(self.ema.network, saved["ema"], path)
        for name in PARTS[1:]:
            if saved[name]:  # a scaler that was off has no state
                getattr(self, name).load_state_dict(saved[name])
        if not self.device.is_cuda:
            take_up(saved, self.ranks.size)
        self._restore_random(saved["rng"], torch.set_rng_state)
        if self.device.is_cuda and saved["cuda_rng"] is not None:
            self._restore_random(saved["cuda_rng"], torch.cuda.set_rng_state)
        return _state(saved["state"])

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


def _state(saved: dict[str, Any]) -> State:
    """Of a last.pt, older ones too: they had of the best epoch nothing but its score."""
    best = saved["best"]
    return State(**{**saved, "best": Best(**best) if isinstance(best, dict) else Best(score=best)})


def make_learner(
    config: LearnConfig, device: Device, steps_per_epoch: int, *, pretrained: bool, ranks: Ranks = ALONE
) -> Learner:
    """A new learner; `pretrained`: with the weights that its config begins from, else with those that a checkpoint is
    to bring. What `init_from` brings stands for the encoder's weights too: no hub is asked for what is replaced."""
    training = config.training
    begins_from = training.init_from if pretrained else None
    network = ranks.in_turn(lambda: build_network(config.model, pretrained=pretrained and begins_from is None))
    if begins_from is not None:
        start_from(network, begins_from)
    place(network, device)
    if training.freeze_batch_norm:
        freeze_batch_norm(network)
    optimizer = make_optimizer(network, training, device)
    schedule = make_schedule(optimizer, training, steps_per_epoch)
    scaler = torch.amp.GradScaler(device.device.type, enabled=device.scales_gradients)
    ema = None if training.ema is None else Ema(network, training.ema)
    if training.compile:
        network.compile()  # in place: the names of its tensors stay as they are
    return Learner(config, device, network, optimizer, schedule, scaler, ema, ranks, ranks.wrap(network, device))
