"""The training loop, from top to bottom."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

import torch

from engine.contract import names
from engine.contract.config import LearnConfig
from engine.contract.errors import Stopped
from engine.contract.events import epoch_line
from engine.contract.files import file_sha256, unfinished
from engine.contract.load import save_config
from engine.contract.models import title
from engine.contract.text import clean
from engine.contract.training import TrainingConfig
from engine.data.data_record import read_images, write_data_record
from engine.data.splits import write_split
from engine.data.window import write_window
from engine.process.device import pick_device
from engine.process.exit import StopFlag
from engine.process.progress import Progress, say
from engine.training.checkpoints import best_checkpoint, remove_others, score
from engine.training.data import TrainingData, load_training_data, make_batches, make_loader
from engine.training.event_log import EventLog, Meter
from engine.training.learner import Learner, State, make_learner
from engine.training.optimizer import part_of_update, set_modes
from engine.training.ranks import Ranks, join
from engine.training.validate import check_losses, check_weights, validate


def train(config: LearnConfig, run: Path, *, resume: bool) -> None:
    """Train into the run folder; config.yaml is written before the first step. With `resume` the training continues
    from last.pt, if there is one, and ends with the same weights as an uninterrupted one. With several ranks this is
    rank 0. Raises Stopped after SIGTERM, with a checkpoint saved; Diverged, with the last good one kept; BadInput."""
    ranks = join()
    ranks.broadcast((config, run, resume))
    _train(config, run, resume, ranks)


def take_part() -> None:
    """Train as another rank than the first, with rank 0's config, and write nothing."""
    ranks = join()
    config, run, resume = ranks.broadcast(None)
    _train(config, run, resume, ranks)


def _train(config: LearnConfig, run: Path, resume: bool, ranks: Ranks) -> None:
    torch.manual_seed(config.seed)
    training, checkpoints, manifest = config.training, run / names.CHECKPOINTS, Path(config.data.manifest)
    last = checkpoints / names.LAST
    if ranks.is_first:
        files = (run / name for name in (names.CONFIG, names.SPLIT, names.WINDOW, names.DATA))
        for half in (*(half for file in files for half in unfinished(file)), *checkpoints.glob(".*.pt.*.tmp")):
            half.unlink(missing_ok=True)  # left by a killed training
        if resume and not last.exists():
            print(f"{clean(str(run))}: no {names.LAST} yet; the training starts from the beginning", flush=True)
    resumes = ranks.broadcast(resume and last.exists())

    device = pick_device(config.device, training.precision, training.channels_last)
    training_data = ranks.first_rank_first(lambda: load_training_data(config, run))
    batches = make_batches(config, training_data.training, 0, ranks)
    ranks.check(config, batches.batch_size)
    steps_per_epoch = batches.steps_per_epoch
    epochs, steps = training.epochs, training.epochs * steps_per_epoch
    learner = make_learner(config, device, steps_per_epoch, pretrained=not resumes, ranks=ranks)
    if not ranks.is_first:
        torch.manual_seed(config.seed + ranks.rank)  # same weights on all ranks, different dropout
    state = learner.restore(last, training_data.key) if resumes else State()
    batches = make_batches(config, training_data.training, state.step, ranks)
    if ranks.is_first and not resumes:
        if config.data.fold is not None:
            write_split(run, (*training_data.training.samples, *training_data.validation.samples))
        write_window(run / names.WINDOW, training_data.training.samples[0].window)
        save_config(config, run / names.CONFIG)
    if ranks.is_first and not (run / names.DATA).exists():
        write_data_record(run, read_images(training_data.samples, manifest if config.data.cache else None))
    origin = origin_of(run, training_data) if ranks.is_first else {}
    events = EventLog(run / names.EVENTS if ranks.is_first else None, keep_bytes=state.events_bytes)
    started = time.monotonic() - state.seconds
    meter = Meter(batches.batch_size, ranks.mean)
    stop = StopFlag()
    frozen_steps = round(training.freeze_encoder_epochs * steps_per_epoch)
    set_modes(learner.network, training, encoder_frozen=state.step < frozen_steps)
    is_over = _is_over(state, training, steps_per_epoch)
    try:
        events.write("start", run=run.name, epochs=epochs, steps=steps, step=state.step)
        _print_start(learner, training_data, state)
        with Progress(f"train {run.name}", steps, "steps", done=state.step) as progress:
            for batch in () if is_over else make_loader(config, training_data.training, batches, device):
                part = part_of_update(state.step, steps_per_epoch, training.accumulate)
                meter.add(learner.step(batch, state.step / steps_per_epoch, part), batch.position)
                state.step += 1
                epoch, into_epoch = divmod(state.step, steps_per_epoch)
                ends_epoch = into_epoch == 0
                # Once per step, for all ranks: a stop seen between two checks would save losses that were not read.
                # Only after an update: a checkpoint has no gradients.
                stops, is_due = ranks.any(stop.is_set and part.is_last, meter.is_due)
                if is_due or ends_epoch or stops:
                    reading = meter.read(steps - state.step)
                    check_losses(reading, state.step, learner, training_data)
                    for step_loss in reading.losses:  # one by one: the sum must not depend on when they are read
                        state.loss_sum += step_loss
                    pace = {"lr": learner.learning_rate, "images_per_s": reading.images_per_s, "eta_s": reading.eta_s}
                    number = epoch if ends_epoch else epoch + 1
                    loss = sum(reading.losses) / len(reading.losses)
                    events.write("step", epoch=number, step=state.step, steps=steps, loss=loss, **pace)
                    progress.advance(state.step - progress.done, eta_s=reading.eta_s)
                if ends_epoch or stops:
                    check_weights(learner, state.step, reading.positions[-1], training_data)
                    before, state.seconds = state.seconds, time.monotonic() - started
                if ends_epoch and ranks.is_first:
                    state.metrics = validate(learner, training_data.validation, state.step)
                    is_best = _keep_best(learner, state, epoch, checkpoints, origin)
                    loss, state.loss_sum = state.loss_sum / steps_per_epoch, 0.0
                    epoch_facts = {"epoch": epoch, "epochs": epochs, "step": state.step, "loss": loss, "best": is_best}
                    events.write("epoch", **epoch_facts, **pace, val=state.metrics)
                if ends_epoch or state.step == frozen_steps:
                    set_modes(learner.network, training, encoder_frozen=state.step < frozen_steps)
                if ends_epoch or stops:
                    events.sync()
                    state.seconds, state.events_bytes = time.monotonic() - started, events.size
                    learner.save_last(last, state, training_data.key, origin)
                if ends_epoch:
                    meter.skip()
                if ends_epoch and ranks.is_first:
                    remove_others(checkpoints, state.best)
                    say(epoch_line(epoch, epochs, loss, state.metrics, is_best, state.seconds - before))
                if ends_epoch and ranks.broadcast(_is_over(state, training, steps_per_epoch)):
                    break
                if stops and state.step < steps:
                    events.write("end", state="stopped", step=state.step, seconds=round(state.seconds, 1))
                    raise Stopped(f"stopped at step {state.step} of {steps}; continue with --resume")
        if state.step < steps:
            print(f"stopped early: no better checkpoint since epoch {state.best.epoch}", flush=True)
        events.write("end", state="done", step=state.step, seconds=round(time.monotonic() - started, 1))
    finally:
        stop.restore()
        events.close()


def origin_of(run: Path, training_data: TrainingData) -> dict[str, object]:
    """What a checkpoint says about its data: the fingerprint of each split, and the hash of the run's data.csv."""
    return {"fingerprints": training_data.fingerprints(), "record": file_sha256(run / names.DATA)}


def _keep_best(learner: Learner, state: State, epoch: int, checkpoints: Path, origin: Mapping[str, object]) -> bool:
    """Save the network if the epoch is among the best that are kept; returns whether it is the best."""
    training = learner.config.training
    is_best = state.best.take(score(state.metrics, training.selection_metric), epoch, training.keep_best)
    if is_best:
        learner.save_best(checkpoints / names.BEST, state, epoch, origin)
    if training.keep_best > 1 and state.best.keeps(epoch):
        learner.save_best(best_checkpoint(checkpoints, epoch), state, epoch, origin)
    return is_best


def _is_over(state: State, training: TrainingConfig, steps_per_epoch: int) -> bool:
    """Whether early stopping ends the training."""
    patience = training.early_stopping
    return patience is not None and state.step // steps_per_epoch - state.best.epoch >= patience


def _print_start(learner: Learner, training_data: TrainingData, state: State) -> None:
    samples, validation = training_data.training.samples, training_data.validation.samples
    parameters = sum(parameter.numel() for parameter in learner.network.parameters()) / 1e6
    print(
        f"{title(learner.config.model)}, {parameters:.1f} M parameters, on {learner.device.name} in "
        f"{learner.device.precision}; {len(samples)} training images "
        f"({sum(sample.fractured for sample in samples)} positive), {len(validation)} for validation"
        + (f"; resumed at step {state.step}" if state.step else ""),
        flush=True,
    )
