"""`xray-engine average`: the mean of a run's best checkpoints, as a run that can be evaluated and blended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from engine.contract import names
from engine.contract.errors import BadInput
from engine.contract.files import file_sha256, relative_to_file, write_json
from engine.contract.load import save_config
from engine.contract.text import clean
from engine.data.data_record import read_data_record, read_images, write_data_record
from engine.data.moved import check_manifest
from engine.data.overlap import read_mark, write_mark
from engine.data.splits import write_split
from engine.data.window import write_window
from engine.evaluation.config_check import check_config
from engine.evaluation.predict import to_tensor
from engine.models.checkpoint import load_checkpoint, load_network
from engine.models.network import XrayNetwork
from engine.process.device import Device, pick_device
from engine.process.progress import Progress
from engine.training.checkpoints import best_checkpoints, score
from engine.training.data import load_training_data
from engine.training.learner import State, make_learner
from engine.training.loop import origin_of
from engine.training.optimizer import batch_norms, set_modes
from engine.training.run import check_is_free, learn_config, locked_run
from engine.training.validate import validate

Tensors = dict[str, torch.Tensor]


def average(run: Path, output: Path, best: int | None = None) -> None:
    """Write the mean of the run's `best` best checkpoints (None: of all that were kept) into the new run folder
    `output`, with its sources in average.json, and print its validation metrics. Batch norm statistics are estimated
    again, because the mean of the checkpoints' does not fit the averaged weights (Izmailov et al. 2018), but for those
    that the training kept frozen. Raises BadInput."""
    config = learn_config(run / names.CONFIG, ())
    training, name = config.training, clean(str(run))
    check_manifest(run, config.data.manifest)
    kept = kept_best(run / names.CHECKPOINTS, training.selection_metric)
    if len(kept) < 2:
        raise BadInput(f"{name}: has no checkpoints besides its best; train with training.keep_best: 3, for example")
    if best is not None and best > len(kept):
        raise BadInput(f"--best {best}: {name} has only {len(kept)}")
    scores, epochs, paths = zip(*kept[:best], strict=True)
    check_is_free(output)
    check_config(config, paths[0], load_checkpoint(paths[0], "network"))
    mean = mean_of(paths)
    with locked_run(output):
        where = "auto" if config.device == "cuda" else config.device
        device = pick_device(where, training.precision, training.channels_last)
        training_data = load_training_data(config, run)
        if config.data.fold is not None:
            write_split(output, (*training_data.training.samples, *training_data.validation.samples))
        plain = config.model_copy(update={"training": training.model_copy(update={"ema": None})})
        learner = make_learner(plain, device, 1, pretrained=False)
        load_network(learner.network, mean, paths[0])
        set_modes(learner.network, training, encoder_frozen=training.freeze_encoder_epochs >= training.epochs)
        estimate_batch_norm(learner.network, training_data.training.images, device, training.batch_size)
        state = State(metrics=validate(learner, training_data.validation, 0))
        images = read_data_record(run) or read_images(training_data.samples, None)
        write_data_record(output, images)
        described = {
            "name": None,
            "description": clean(f"mean of the {len(paths)} best checkpoints of {run.name}"[:500]),
            "training": training.model_copy(update={"init_from": str(run.resolve())}),  # so that the configs differ
        }
        mean_config = config.model_copy(update=described)
        write_window(output / names.WINDOW, training_data.training.samples[0].window)
        save_config(mean_config, output / names.CONFIG)
        write_mark(output, read_mark(run))
        note = output / names.AVERAGE
        sources = [
            {"path": relative_to_file(path, note), "epoch": epoch, "sha256": file_sha256(path)}
            for epoch, path in zip(epochs, paths, strict=True)
        ]
        write_json(note, {"of": relative_to_file(run, note), "checkpoints": sources})
        best_path = output / names.CHECKPOINTS / names.BEST
        replace(learner, config=mean_config).save_best(best_path, state, epochs[0], origin_of(output, training_data))
    alone = ", ".join(f"{value:.4f}" for value in scores)
    print(f"{clean(str(output))}: mean of epochs {', '.join(map(str, epochs))}", flush=True)
    of_mean = score(state.metrics, training.selection_metric)
    print(f"{training.selection_metric} on validation: {of_mean:.4f}; each alone: {alone}", flush=True)


def kept_best(checkpoints: Path, selection_metric: str) -> list[tuple[float, int, Path]]:
    """(score, epoch, file) of the best checkpoints that a training has kept, the best first."""
    kept = [
        (score(load_checkpoint(path, "network", "metrics")["metrics"], selection_metric), epoch, path)
        for epoch, path in best_checkpoints(checkpoints).items()
    ]
    return sorted(kept, key=lambda entry: (-entry[0], entry[1]))


def mean_of(checkpoints: Sequence[Path]) -> Tensors:
    """The mean of the networks' tensors, summed in float64; integers (counters) are those of the first."""
    first: Tensors = load_checkpoint(checkpoints[0], "network")["network"]
    sums = {name: tensor.double() for name, tensor in first.items() if tensor.is_floating_point()}
    for path in checkpoints[1:]:
        other: Tensors = load_checkpoint(path, "network")["network"]
        for name in sums:
            sums[name] += other[name]
    return {
        name: (sums[name] / len(checkpoints)).to(tensor.dtype) if name in sums else tensor
        for name, tensor in first.items()
    }


@torch.inference_mode()
def estimate_batch_norm(network: XrayNetwork, images: npt.NDArray[np.uint8], device: Device, batch_size: int) -> None:
    """Set the statistics of every batch norm in training mode to their mean over these images, uint8 (N, S, S), in full
    precision. Dropout stays off. Each batch is spread over all images, because the manifest may be sorted, and has
    `batch_size` images or slightly more, so that all weigh the same, but at least two: features pooled to one pixel
    have no variance in a batch of one. torch's update_bn would also train dropout and frozen norms."""
    norms = [norm for norm in batch_norms(network) if norm.training]
    if not norms:
        return
    before = [norm.momentum for norm in norms]
    network.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the mean over all batches
        norm.train()
    count = max(1, len(images) // max(2, batch_size))
    with Progress("batch norm", count, "batches") as progress:
        for first in range(count):
            network(to_tensor(images[first::count], device))
            progress.advance()
    for norm, momentum in zip(norms, before, strict=True):
        norm.momentum = momentum
    network.eval()
