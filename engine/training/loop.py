"""The training loop, from top to bottom."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader

from engine.contract import names
from engine.contract.config import TrainConfig
from engine.contract.errors import BadInput, Stopped
from engine.contract.load import save_config
from engine.contract.text import clean
from engine.data.augment import make_augmentation
from engine.data.dataset import Batch, TrainingSamples
from engine.data.inputs import Inputs, load_inputs
from engine.data.manifest import read_manifest
from engine.data.order import Batches
from engine.device import Device, pick_device, place
from engine.models.checkpoint import load_checkpoint, save_checkpoint
from engine.models.network import XrayNetwork, build_network
from engine.progress import Progress
from engine.stopping import StopFlag, leave_stopping_to_the_parent
from engine.training.event_log import EventLog
from engine.training.losses import training_loss
from engine.training.schedule import make_optimizer, make_schedule
from engine.training.validate import validate

STEP_EVENT_EVERY_S = 1.0


@dataclass(slots=True)
class State:
    """What a training knows besides tensors; all of it is in every checkpoint."""

    step: int = 0
    loss_sum: float = 0.0
    """Of the current epoch, so far."""
    best: float = -math.inf
    best_epoch: int = 0
    seconds: float = 0.0
    events_bytes: int = 0
    metrics: dict[str, float] = field(default_factory=dict)
    """Of the last validation."""


class TrainingDiverged(Exception):
    """The loss is no number any more; the message names the step and the images of the batch."""


def train(config: TrainConfig, run: Path, *, resume: bool) -> None:
    """Train into the run folder; config.yaml is written before the first step. With `resume` it continues from
    last.pt, where there is one, and ends with the same weights as a training that was never interrupted.

    Raises Stopped after SIGTERM, with a checkpoint saved; TrainingDiverged; BadInput.
    """
    torch.manual_seed(config.seed)
    device = pick_device(config.device, config.training.precision, config.training.channels_last)
    training, validation = _load_data(config)
    checkpoints = run / names.CHECKPOINTS
    last_path, best_path = checkpoints / names.LAST, checkpoints / names.BEST
    for half in checkpoints.glob(".*.tmp"):  # being written when a former training was killed
        half.unlink(missing_ok=True)
    saved = load_checkpoint(last_path) if resume and last_path.exists() else None

    network = build_network(config.model, pretrained=saved is None)
    place(network, device)
    batches = _batches(config, training, State(**saved["state"]).step if saved else 0)
    optimizer = make_optimizer(network, config.training)
    schedule = make_schedule(optimizer, config.training, batches.steps_per_epoch)
    scaler = torch.amp.GradScaler(device.device.type, enabled=device.scales_gradients)
    parts = {"network": network, "optimizer": optimizer, "schedule": schedule, "scaler": scaler}
    state = _restore(saved, parts, device) if saved else State()
    if saved is None:
        save_config(config, run / names.CONFIG)
    events = EventLog(run / names.EVENTS, keep_bytes=state.events_bytes)

    steps_per_epoch, epochs = batches.steps_per_epoch, config.training.epochs
    steps = epochs * steps_per_epoch
    _say_start(config, network, training, validation, device, state)
    started = time.monotonic() - state.seconds
    first_step = state.step
    resumed = time.monotonic()
    loader = _loader(config, training, batches, device)
    events.write("start", run=run.name, epochs=epochs, steps=steps, step=state.step)
    stop = StopFlag()
    try:
        progress = Progress(f"train {run.name}", steps, "steps", done=state.step)
        network.train()
        shown_at, shown_step, shown_loss = time.monotonic(), state.step, 0.0
        with progress:
            for batch in loader:
                epoch = state.step / steps_per_epoch
                loss = _step(network, batch, parts, config, device, epoch)
                value = float(loss)
                if not math.isfinite(value):
                    raise TrainingDiverged(_diverged(state.step, value, batch, training))
                state.step += 1
                state.loss_sum += value
                shown_loss += value
                now = time.monotonic()
                eta = (now - resumed) / (state.step - first_step) * (steps - state.step)
                ends_epoch = state.step % steps_per_epoch == 0
                if now - shown_at >= STEP_EVENT_EVERY_S or ends_epoch:
                    count = state.step - shown_step
                    speed = {
                        "lr": schedule.get_last_lr()[-1],
                        "images_per_s": round(count * batches.batch_size / max(now - shown_at, 1e-9), 2),
                        "eta_s": round(eta, 1),
                    }
                    events.write(
                        "step", epoch=math.ceil(state.step / steps_per_epoch), step=state.step, steps=steps,
                        loss=shown_loss / count, **speed,
                    )  # fmt: skip
                    shown_at, shown_step, shown_loss = now, state.step, 0.0
                progress.advance(eta_s=eta)
                if ends_epoch:
                    number = state.step // steps_per_epoch
                    state.metrics = validate(network, validation, device, config.loss, config.training.batch_size)
                    score = _score(state.metrics, config.training.selection_metric)
                    is_best = score > state.best
                    if is_best:
                        state.best, state.best_epoch = score, number
                        save_checkpoint(best_path, _best(network, config, state, number))
                    train_loss, state.loss_sum = state.loss_sum / steps_per_epoch, 0.0
                    events.write(
                        "epoch", epoch=number, epochs=epochs, step=state.step, loss=train_loss, **speed,
                        val=state.metrics, best=is_best,
                    )  # fmt: skip
                    _say_epoch(number, epochs, train_loss, state.metrics, is_best, time.monotonic() - started)
                    shown_at = time.monotonic()
                if ends_epoch or stop.is_set:
                    state.seconds, state.events_bytes = time.monotonic() - started, events.size
                    save_checkpoint(last_path, _full(parts, config, state, device))
                if stop.is_set and state.step < steps:
                    events.write("end", state="stopped", step=state.step, seconds=round(state.seconds, 1))
                    raise Stopped(f"stopped at step {state.step} of {steps}; `--resume` continues there")
        events.write("end", state="done", step=state.step, seconds=round(time.monotonic() - started, 1))
    finally:
        stop.restore()
        events.close()


def _step(
    network: XrayNetwork, batch: Batch, parts: dict[str, Any], config: TrainConfig, device: Device, epoch: float
) -> torch.Tensor:
    """One optimiser step; the loss, detached."""
    image, mask, fractured, _ = (part.to(device.device, non_blocking=True) for part in batch)
    optimizer, scaler = parts["optimizer"], parts["scaler"]
    with device.autocast():
        prediction = network(image)
    loss = training_loss(prediction, mask, fractured, config.loss, epoch)
    optimizer.zero_grad(set_to_none=True)
    scaler.scale(loss).backward()
    if config.training.grad_clip is not None:
        scaler.unscale_(optimizer)
        torch.nn.utils.clip_grad_norm_(network.parameters(), config.training.grad_clip)
    scaler.step(optimizer)
    scaler.update()
    parts["schedule"].step()
    return loss.detach()


def _load_data(config: TrainConfig) -> tuple[Inputs, Inputs]:
    manifest = Path(config.data.manifest)
    samples = read_manifest(manifest)
    splits = {split: [sample for sample in samples if sample.split == split] for split in ("train", "val")}
    for split, found in splits.items():
        if not any(sample.fractured for sample in found):
            raise BadInput(f"{clean(str(manifest))}: split {split} has {len(found)} images and no fracture among them")
    cache = manifest if config.data.cache else None
    size, keep = config.data.image_size, config.data.keep_aspect
    return (
        load_inputs(splits["train"], size, keep, cache, "train"),
        load_inputs(splits["val"], size, keep, cache, "val"),
    )


def _batches(config: TrainConfig, training: Inputs, first_step: int) -> Batches:
    return Batches(
        [sample.fractured for sample in training.samples],
        seed=config.seed,
        epochs=config.training.epochs,
        batch_size=config.training.batch_size,
        samples_per_epoch=config.training.samples_per_epoch,
        positive_share=config.training.positive_share,
        first_step=first_step,
    )


def _loader(config: TrainConfig, training: Inputs, batches: Batches, device: Device) -> DataLoader[Batch]:
    """One pass of this loader is the whole training. Its generator is its own: the default one would draw from the
    global random state and change what dropout sees."""
    workers = config.data.workers
    if workers is None:
        workers = min(8, torch.get_num_threads()) if device.is_cuda else 0
    return DataLoader(
        TrainingSamples(training, make_augmentation(config.augment)),
        batch_sampler=batches,
        num_workers=workers,
        pin_memory=device.is_cuda,
        worker_init_fn=leave_stopping_to_the_parent,
        generator=torch.Generator().manual_seed(config.seed),
    )


def _full(parts: dict[str, Any], config: TrainConfig, state: State, device: Device) -> dict[str, Any]:
    return {
        **{name: part.state_dict() for name, part in parts.items()},
        "state": {name: getattr(state, name) for name in State.__slots__},
        "config": config.model_dump(mode="json"),
        "rng": torch.get_rng_state(),
        "cuda_rng": torch.cuda.get_rng_state_all() if device.is_cuda else [],
        "threads": torch.get_num_threads(),
    }


def _best(network: XrayNetwork, config: TrainConfig, state: State, epoch: int) -> dict[str, Any]:
    return {
        "network": network.state_dict(),
        "config": config.model_dump(mode="json"),
        "epoch": epoch,
        "metrics": state.metrics,
    }


def _restore(saved: dict[str, Any], parts: dict[str, Any], device: Device) -> State:
    for name, part in parts.items():
        part.load_state_dict(saved[name])
    torch.set_num_threads(saved["threads"])  # another count sums in another order: not the same bits
    torch.set_rng_state(saved["rng"])
    if device.is_cuda and saved["cuda_rng"]:
        torch.cuda.set_rng_state_all(saved["cuda_rng"])
    return State(**saved["state"])


def _score(metrics: dict[str, float], selection_metric: str) -> float:
    """Higher is better. A metric that validation could not give (no positives) never wins."""
    if selection_metric == "joint":
        return metrics.get("dice_pos", -math.inf) + metrics.get("roc_auc_presence", -math.inf)
    value = metrics.get(selection_metric, -math.inf)
    return -value if selection_metric == "loss" else value


def _diverged(step: int, value: float, batch: Batch, training: Inputs) -> str:
    ids = ", ".join(clean(training.samples[index].id) for index in batch.place.tolist()[:8])
    return f"the loss is {value} at step {step + 1} (images {ids}); try a lower training.lr or training.precision=fp32"


def _say_start(
    config: TrainConfig, network: XrayNetwork, training: Inputs, validation: Inputs, device: Device, state: State
) -> None:
    positives = sum(sample.fractured for sample in training.samples)
    parameters = sum(parameter.numel() for parameter in network.parameters()) / 1e6
    precision = str(device.autocast_dtype or torch.float32).removeprefix("torch.")
    print(
        f"{config.model.arch} with {clean(config.model.encoder)}, {parameters:.1f} M parameters, on {device.name} in "
        f"{precision}; {len(training.samples)} training images ({positives} positive), {len(validation.samples)} for "
        "validation" + (f"; resumed at step {state.step}" if state.step else ""),
        flush=True,
    )


def _say_epoch(number: int, epochs: int, loss: float, metrics: dict[str, float], is_best: bool, seconds: float) -> None:
    shown = ("dice_pos", "roc_auc_presence", "average_precision_presence")
    values = "  ".join(f"{name} {metrics[name]:.4f}" for name in shown if name in metrics)
    mark = "  best" if is_best else ""
    print(f"epoch {number}/{epochs}  loss {loss:.4f}  val: {values}{mark}  {seconds:.0f} s", flush=True)
