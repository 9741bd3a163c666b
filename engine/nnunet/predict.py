"""nnU-Net's predictions of a split, cached like those of every other run."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from engine.contract import names
from engine.contract.errors import BadInput, Failed
from engine.contract.files import file_sha256
from engine.contract.load import load_nnunet_config
from engine.contract.nnunet import NnunetConfig, PredictOptions
from engine.contract.text import clean
from engine.data.arrays import new_array, open_array
from engine.data.images import read_mask
from engine.data.manifest import Sample, fingerprint
from engine.data.moved import check_manifest, check_same_data, point_to
from engine.data.splits import read_samples
from engine.evaluation.prediction_cache import ARRAY, Key, cache_key, read_predictions, write_index
from engine.evaluation.predictions import Predictions
from engine.evaluation.scores import Levels, quantise
from engine.nnunet.export import Export, image_name, read_export
from engine.nnunet.layout import CONFIGURATION, DATASET, ENDING, Layout
from engine.nnunet.tool import counted, environment, find_command, run_tool
from engine.process.folders import made_whole
from engine.process.progress import map_threaded

PREDICT = "nnUNetv2_predict"


@dataclass(frozen=True, slots=True)
class TrainedRun:
    """A trained nnU-Net run and the checkpoint that is used."""

    folder: Path
    config: NnunetConfig
    export: Export
    checkpoint: Path
    sha256: str
    """Of the checkpoint."""

    def samples(self, split: str) -> list[Sample]:
        """The samples of a split, with its fold. Raises BadInput for an empty split, or a sample that was not
        exported."""
        data = self.config.data
        samples = [sample for sample in read_samples(data, self.folder) if sample.split == split]
        if not samples:
            raise BadInput(f"{clean(data.manifest)}: no image in split {split}")
        for sample in samples:
            if sample.id not in self.export.cases:
                raise BadInput(
                    f"{clean(data.manifest)}: {clean(sample.id)} was added after the export; train a new run"
                )
        return samples


def open_trained(folder: Path, which: str, moved_to: Path | None = None) -> TrainedRun:
    """A run folder with its export and its checkpoint, final or best. `moved_to`: the manifest's new path, which is
    written into the config if its data are those of the export. Raises BadInput where config, checkpoint, export or
    manifest is missing, or the data differ."""
    config = load_nnunet_config(folder / names.CONFIG)
    layout = Layout(folder, config)
    checkpoint = layout.checkpoint(which)
    if not checkpoint.is_file():
        raise BadInput(f"{clean(str(checkpoint))}: no such checkpoint; finish the training first")
    export, sha256 = read_export(layout.dataset), file_sha256(checkpoint)
    if moved_to is None:
        check_manifest(folder, config.data.manifest)
        return TrainedRun(folder, config, export, checkpoint, sha256)
    data = config.data.model_copy(update={"manifest": str(moved_to.resolve())})
    run = TrainedRun(folder, config.model_copy(update={"data": data}), export, checkpoint, sha256)
    fingerprints = {split: fingerprint(run.samples(split)) for split in ("val", "test")}
    check_same_data(folder, moved_to, export.fingerprints, fingerprints)
    point_to(folder, moved_to)
    return run


def split_predictions(run: TrainedRun, split: str, options: PredictOptions) -> Predictions:
    """nnU-Net's predictions of a split, from the cache if checkpoint, data and TTA are the same. The maps have the size
    of the exported images; with masks only, they are 0 and 1. Raises BadInput where the data have changed since the
    export; Stopped; Failed."""
    samples = run.samples(split)
    data = fingerprint(samples)
    size = run.config.data.image_size
    shape = (len(samples), size, size)
    key = cache_key(run.sha256, data, options.tta, (sample.id for sample in samples), options.masks)
    if run.export.fingerprints.get(split) != data:  # nnU-Net predicts the exported images
        manifest = clean(run.config.data.manifest)
        raise BadInput(f"{manifest}: split {split} has changed since the export; train a new run")
    cache = run.folder / names.PREDICTIONS / f"{split}_{options.tta}{'_masks' if options.masks else ''}"
    cached = read_predictions(cache, key, shape)
    device = cached.device if cached is not None else _predict(run, samples, options, cache, key, shape)
    return Predictions(tuple(samples), open_array(cache / ARRAY), None, True, data, device)


def _predict(
    run: TrainedRun, samples: list[Sample], options: PredictOptions, cache: Path, key: Key, shape: tuple[int, ...]
) -> str:
    """Have nnU-Net predict the samples, and cache the maps; returns the name of the device."""
    from engine.process.device import pick_device

    picked = pick_device("auto" if run.config.device == "cuda" else run.config.device, "fp32")
    kind, what, layout = picked.device.type, samples[0].split, Layout(run.folder, run.config)
    with made_whole(cache) as making, tempfile.TemporaryDirectory(prefix=".nnunet-", dir=making) as work:
        images, output = Path(work) / "images", Path(work) / "output"
        images.mkdir()
        for sample in samples:
            (images / image_name(run.export.cases[sample.id])).symlink_to(run.export.image(sample).absolute())
        processes = run.config.training.processes
        # 0: nnU-Net's loop without a process pool, which takes seconds to start.
        pool = "0" if processes == 1 else str(processes)
        command = [find_command(PREDICT), "-i", str(images), "-o", str(output), "-d", DATASET, "-c", CONFIGURATION]
        command += ["-f", str(run.config.data.nnunet_fold), "-tr", run.config.training.trainer_class]
        command += ["-p", layout.plans]
        command += ["-chk", run.checkpoint.name, "-device", kind, "-npp", pool, "-nps", pool, "--disable_progress_bar"]
        command += [] if options.masks else ["--save_probabilities"]
        command += ["--disable_tta"] if options.tta == "none" else []
        own = environment(layout, kind, compile=False)
        with counted(f"predict {what} ({options.tta})", output, f"*{ENDING}", len(samples)) as tick:
            run_tool(command, own, on_tick=tick)
        levels = new_array(making / ARRAY, np.uint16, shape)
        collect(run, samples, output, options.masks, levels)
        name = f"{picked.name}, {'float16 autocast' if picked.is_cuda else 'float32'}, nnU-Net"
        write_index(making, key, None, name)
    return name


def collect(run: TrainedRun, samples: list[Sample], output: Path, masks: bool, levels: Levels) -> None:
    """Read nnU-Net's output for each sample into `levels` (N, S, S), which stay 0 outside the image. Raises Failed in
    one line where an output is missing or does not fit its image."""

    def read(index: int) -> None:
        case = run.export.cases[samples[index].id]
        if masks:
            predicted = quantise(read_mask(output / f"{case}{ENDING}").astype(np.float32))
        else:
            predicted = _probabilities(output / f"{case}.npz")
        rows, columns = predicted.shape
        if max(rows, columns) != levels.shape[1]:
            raise Failed(f"{clean(case)}: {PREDICT} made a map of {columns} x {rows}, not of the image size")
        levels[index, :rows, :columns] = predicted

    for _ in map_threaded(read, len(samples), "collect"):
        pass


def _probabilities(path: Path) -> Levels:
    """The probability of a fracture in the array `probabilities` that nnU-Net saves: (2, 1, rows, columns), float32."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            both: npt.NDArray[np.float32] = arrays["probabilities"]
            if both.ndim != 4 or both.shape[:2] != (2, 1):
                raise ValueError
            return quantise(both[1, 0])
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise Failed(f"{clean(str(path.name))}: {PREDICT} saved no probabilities ({type(error).__name__})") from None
