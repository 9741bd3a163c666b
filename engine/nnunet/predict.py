"""xray-engine nnunet predict: nnU-Net's predictions of a split, kept like those of every other run."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import numpy.typing as npt

from engine.contract import names
from engine.contract.errors import Failed
from engine.contract.nnunet import PredictOptions
from engine.contract.text import clean
from engine.data.image import read_mask
from engine.data.manifest import Sample, fingerprint
from engine.evaluation.counts import LEVELS, Levels, quantise
from engine.evaluation.prediction_cache import ARRAY, Key, read_predictions, write_index
from engine.evaluation.predictions import Probabilities
from engine.folders import made_whole, new_array, open_array
from engine.nnunet.counting import counted
from engine.nnunet.export import image_name
from engine.nnunet.layout import CONFIGURATION, DATASET, ENDING
from engine.nnunet.run import TrainedRun
from engine.nnunet.tool import environment, find_command, run_tool
from engine.parallel import each

PREDICT = "nnUNetv2_predict"
SPLITS = ("val", "test")


def split_predictions(run: TrainedRun, split: str, options: PredictOptions) -> Probabilities:
    """What nnU-Net predicts of a split, from the cache where checkpoint, data and views are the same.

    The maps are those of the exported images, so of their longer side; of masks alone they are 0 and 1.
    Raises BadInput where the data have changed since the export; Stopped; Failed.
    """
    samples = run.samples(split)
    data = fingerprint(samples)
    size = run.config.data.image_size
    shape = (len(samples), size, size)
    key = Key(run.sha256, data, options.tta, tuple(sample.id for sample in samples), options.masks)
    run.check_unchanged(split, data)
    cache = run.folder / names.PREDICTIONS / f"{split}_{options.tta}{'_masks' if options.masks else ''}"
    cached = read_predictions(cache, key, shape)
    device = cached.device if cached is not None else _predict(run, samples, options, cache, key, shape)
    return Probabilities(tuple(samples), open_array(cache / ARRAY), None, True, data, device)


def _predict(
    run: TrainedRun,
    samples: list[Sample],
    options: PredictOptions,
    cache: Path,
    key: Key,
    shape: tuple[int, ...],
) -> str:
    """Let nnU-Net predict the samples and keep the maps; the name of what it computed on."""
    from engine.device import pick_device

    picked = pick_device("auto" if run.config.device == "cuda" else run.config.device, "fp32")
    kind = picked.device.type
    what = samples[0].split
    with made_whole(cache) as making, tempfile.TemporaryDirectory(prefix=".nnunet-", dir=making) as work:
        images, output = Path(work) / "images", Path(work) / "output"
        images.mkdir()
        for sample in samples:
            (images / image_name(run.export.cases[sample.id])).symlink_to(run.export.image(sample).absolute())
        processes = run.config.training.processes
        # One process at a time is nnU-Net's own loop without a pool, which costs seconds to start.
        pool = "0" if processes == 1 else str(processes)
        command = [find_command(PREDICT), "-i", str(images), "-o", str(output), "-d", DATASET, "-c", CONFIGURATION]
        command += ["-f", str(run.config.data.nnunet_fold), "-tr", run.config.training.trainer_class]
        command += ["-p", run.layout.plans]
        command += ["-chk", run.checkpoint.name, "-device", kind, "-npp", pool, "-nps", pool, "--disable_progress_bar"]
        command += [] if options.masks else ["--save_probabilities"]
        command += ["--disable_tta"] if options.tta == "none" else []
        own = environment(run.layout, kind, compile=False)
        with counted(f"predict {what} ({options.tta})", output, f"*{ENDING}", len(samples)) as tick:
            run_tool(command, own, on_tick=tick)
        levels = new_array(making / ARRAY, np.uint16, shape)
        collect(run, samples, output, options.masks, levels)
        name = f"{picked.name}, {'float16 autocast' if picked.is_cuda else 'float32'}, nnU-Net"
        write_index(making, key, None, name)
    return name


def collect(run: TrainedRun, samples: list[Sample], output: Path, masks: bool, levels: Levels) -> None:
    """Read what nnU-Net wrote of each sample into `levels` (N, S, S); beyond the image they stay 0.

    Raises Failed in one line where an output is missing or is no map of its image.
    """

    def read(place: int) -> None:
        case = run.export.cases[samples[place].id]
        found = _mask(output / f"{case}{ENDING}") if masks else _probabilities(output / f"{case}.npz")
        rows, columns = found.shape
        if max(rows, columns) != levels.shape[1]:
            raise Failed(f"{clean(case)}: {PREDICT} made a map of {columns} x {rows}, not of its image")
        levels[place, :rows, :columns] = found

    for _ in each(read, len(samples), "collect"):
        pass


def _probabilities(path: Path) -> Levels:
    """The probability of a fracture in what nnU-Net saves as `probabilities`: (2, 1, rows, columns), float32."""
    try:
        with np.load(path, allow_pickle=False) as kept:
            both: npt.NDArray[np.float32] = kept["probabilities"]
            if both.ndim != 4 or both.shape[:2] != (2, 1):
                raise ValueError
            return quantise(both[1, 0])
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise Failed(f"{clean(str(path.name))}: no probabilities from {PREDICT} ({type(error).__name__})") from None


def _mask(path: Path) -> Levels:
    return read_mask(path).astype(np.uint16) * np.uint16(LEVELS)
