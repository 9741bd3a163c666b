"""`xray-engine train` with an nnU-Net config: export, planning and preprocessing, and training, each done once."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path

from engine.contract import names
from engine.contract.errors import Failed, Stopped
from engine.contract.files import unfinished, write_whole
from engine.contract.load import save_config
from engine.contract.nnunet import NnunetConfig
from engine.contract.text import clean
from engine.data.data_record import read_images, write_data_record
from engine.data.splits import read_samples, write_split
from engine.data.window import report_missing, write_window
from engine.nnunet.export import export
from engine.nnunet.layout import CONFIGURATION, DATASET, FOLDS, Layout
from engine.nnunet.log import TrainingLog
from engine.nnunet.tool import counted, environment, find_command, run_tool

PLAN, TRAIN = "nnUNetv2_plan_and_preprocess", "nnUNetv2_train"


def train(config: NnunetConfig, run: Path, device: str) -> None:
    """Train into the run folder on cpu or cuda, or continue a stopped training of this config from nnU-Net's last
    checkpoint, which it saves every 50 epochs, else from its best one. A training that ends before the export is
    complete leaves nothing. Raises Stopped, Failed, BadInput."""
    layout = Layout(run, config)
    plan, trainer = find_command(PLAN), find_command(TRAIN)
    files = (run / name for name in (names.CONFIG, names.SPLIT, names.WINDOW, names.DATA))
    for half in (half for file in files for half in unfinished(file)):
        half.unlink(missing_ok=True)
    resumes = (run / names.CONFIG).exists()
    if not resumes:
        _begin(config, layout)
    if layout.checkpoint("final").exists():
        _name_checkpoints(layout)
        print(f"{clean(str(run))}: already trained", flush=True)
        return
    if not layout.dataset.exists():  # killed while it was written, or removed
        export(config, layout.dataset, run)
    if not layout.folds.exists():
        _preprocess(layout, plan, device)
    _fit(layout, trainer, device, resumes)
    _name_checkpoints(layout)


def _begin(config: NnunetConfig, layout: Layout) -> None:
    """Write the config and the export, or neither: after the data are corrected, the folder is free for the same
    command."""
    files = [layout.run / name for name in (names.CONFIG, names.SPLIT, names.WINDOW, names.DATA)]
    try:
        samples = read_samples(config.data)
        if config.data.fold is not None:
            write_split(layout.run, samples)
        report_missing(samples)
        write_window(layout.run / names.WINDOW, samples[0].window)
        write_data_record(layout.run, read_images(samples, Path(config.data.manifest)))
        save_config(config, layout.run / names.CONFIG)
        export(config, layout.dataset, layout.run)
    except BaseException:
        shutil.rmtree(layout.run / names.CHECKPOINTS, ignore_errors=True)
        for file in files:
            file.unlink(missing_ok=True)
        raise


def _name_checkpoints(layout: Layout) -> None:
    """Link nnU-Net's checkpoints under our names, by which lists and the queue recognise a trained run."""
    for name, which in ((names.BEST, "best"), (names.LAST, "final")):
        link = layout.run / names.CHECKPOINTS / name
        link.unlink(missing_ok=True)
        if layout.checkpoint(which).exists():
            link.symlink_to(layout.checkpoint(which).relative_to(link.parent))


def _preprocess(layout: Layout, plan: str, device: str) -> None:
    """Plan and preprocess. The folds are written last and mark completion, so an interrupted run starts again."""
    shutil.rmtree(layout.preprocessed, ignore_errors=True)
    layout.preprocessed.mkdir(parents=True)
    processes = str(layout.config.training.processes)
    command = [plan, "-d", str(int(DATASET[7:10])), "-c", CONFIGURATION, "-pl", layout.planner, "--no_pbar"]
    command += ["--verify_dataset_integrity", "-np", processes, "-npfp", processes]
    own = environment(layout, device, compile=False)
    own["nnUNet_n_proc_DA"] = "1"  # the planner uses it as its number of threads, and fails with 0
    cases = {case for fold in _folds(layout) for case in (*fold["train"], *fold["val"])}
    with counted("nnU-Net preprocesses", layout.folds.parent, "*_2d/*_seg.b2nd", len(cases)) as tick:
        run_tool([*command], own, on_tick=tick)
    write_whole(layout.folds, (layout.dataset / FOLDS).read_bytes())


def _fit(layout: Layout, trainer: str, device: str, resumes: bool) -> None:
    layout.results.mkdir(parents=True, exist_ok=True)
    continues = set_damaged_aside(layout)
    if resumes and not continues:
        print(f"{clean(str(layout.run))}: no checkpoint yet; the training starts from the beginning", flush=True)
    number = layout.config.data.nnunet_fold
    command = [trainer, DATASET, CONFIGURATION, str(number), "-p", layout.plans, "-device", device]
    command += ["-tr", layout.config.training.trainer_class, *(["--c"] if continues else [])]
    log = TrainingLog(layout.run, layout.trained / "debug.json", len(_folds(layout)[number]["val"]))
    own = environment(layout, device, compile=device == "cuda" and layout.config.training.compile)
    try:
        run_tool(command, own, on_line=log.take)
        log.end("done")
    except Stopped:
        log.end("stopped")
        raise
    except (Failed, MemoryError):
        log.end(None)
        raise
    finally:
        log.close()


def set_damaged_aside(layout: Layout) -> bool:
    """Whether there is a checkpoint to continue from. One that is cut short is renamed: nnU-Net writes in place,
    prefers the latest to the best, and would fail on it every time."""
    for which in ("latest", "best"):
        path = layout.checkpoint(which)
        if not path.exists():
            continue
        if zipfile.is_zipfile(path):  # a zip file's directory is at its end
            return True
        path.rename(path.with_name(f"{path.name}.damaged"))
        print(f"{clean(str(path))}: cut short; renamed to {path.name}.damaged", flush=True)
    return False


def _folds(layout: Layout) -> list[dict[str, list[str]]]:
    """The cases in train and val of each fold."""
    folds: list[dict[str, list[str]]] = json.loads((layout.dataset / FOLDS).read_text("utf-8"))
    return folds
