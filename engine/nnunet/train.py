"""xray-engine nnunet train: export, planning and preprocessing, training, each done once."""

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
from engine.nnunet.counting import counted
from engine.nnunet.events import Telling
from engine.nnunet.export import export
from engine.nnunet.layout import CONFIGURATION, DATASET, FOLDS, Layout
from engine.nnunet.tool import environment, find_command, run_tool

PLAN, TRAIN = "nnUNetv2_plan_and_preprocess", "nnUNetv2_train"


def train(config: NnunetConfig, run: Path, device: str) -> None:
    """Train into the run folder on cpu or cuda, or go on where a former training of this config was stopped.

    nnU-Net keeps a checkpoint every 50 epochs, and one whenever its moving average is at its best. A stopped training
    goes on from the former, else the latter; what came after that is trained again. A training that ends before all is
    exported leaves nothing. Raises Stopped, Failed, BadInput.
    """
    layout = Layout(run, config)
    plan, trainer = find_command(PLAN), find_command(TRAIN)
    for half in unfinished(run / names.CONFIG):
        half.unlink(missing_ok=True)
    resumes = (run / names.CONFIG).exists()
    if not resumes:
        _begin(config, layout)
    if layout.checkpoint("final").exists():
        _name_checkpoints(layout)
        print(f"{clean(str(run))}: trained to its end; nothing is left to do", flush=True)
        return
    if not layout.dataset.exists():  # killed while it was made, or taken away
        export(config, layout.dataset)
    if not layout.folds.exists():
        _preprocess(layout, plan, device)
    _fit(layout, trainer, device, resumes)
    _name_checkpoints(layout)


def _begin(config: NnunetConfig, layout: Layout) -> None:
    """The config and the export, or neither: when the data are mended, the folder is free for the same command."""
    save_config(config, layout.run / names.CONFIG)
    try:
        export(config, layout.dataset)
    except BaseException:
        shutil.rmtree(layout.run / names.CHECKPOINTS, ignore_errors=True)
        (layout.run / names.CONFIG).unlink()
        raise


def _name_checkpoints(layout: Layout) -> None:
    """Give nnU-Net's checkpoints our names too: by these, lists and the queue see that a run is trained."""
    for name, which in ((names.BEST, "best"), (names.LAST, "final")):
        link = layout.run / names.CHECKPOINTS / name
        link.unlink(missing_ok=True)
        if layout.checkpoint(which).exists():
            link.symlink_to(layout.checkpoint(which).relative_to(link.parent))


def _preprocess(layout: Layout, plan: str, device: str) -> None:
    """Plans and preprocessed cases. Killed on the way, it begins anew: the folds, which come last, are not there."""
    shutil.rmtree(layout.preprocessed, ignore_errors=True)
    layout.preprocessed.mkdir(parents=True)
    processes = str(layout.config.training.processes)
    command = [plan, "-d", str(int(DATASET[7:10])), "-c", CONFIGURATION, "-pl", layout.planner, "--no_pbar"]
    command += ["--verify_dataset_integrity", "-np", processes, "-npfp", processes]
    own = environment(layout, device, compile=False)
    own["nnUNet_n_proc_DA"] = "1"  # the planner takes it for its number of threads, and fails with 0
    cases = {case for fold in _folds(layout) for case in (*fold["train"], *fold["val"])}
    with counted("nnU-Net preprocesses", layout.folds.parent, "*_2d/*_seg.b2nd", len(cases)) as tick:
        run_tool([*command], own, on_tick=tick)
    write_whole(layout.folds, (layout.dataset / FOLDS).read_bytes())


def _fit(layout: Layout, trainer: str, device: str, resumes: bool) -> None:
    layout.results.mkdir(parents=True, exist_ok=True)
    goes_on = set_damaged_aside(layout)
    if resumes and not goes_on:
        print(f"{clean(str(layout.run))}: no checkpoint yet; the training starts from the beginning", flush=True)
    number = layout.config.data.nnunet_fold
    command = [trainer, DATASET, CONFIGURATION, str(number), "-p", layout.plans, "-device", device]
    command += ["-tr", layout.config.training.trainer_class, *(["--c"] if goes_on else [])]
    telling = Telling(layout.run, layout.trained / "debug.json", len(_folds(layout)[number]["val"]))
    own = environment(layout, device, compile=device == "cuda" and layout.config.training.compile)
    try:
        run_tool(command, own, on_line=telling.take)
        telling.end("done")
    except Stopped:
        telling.end("stopped")
        raise
    except (Failed, MemoryError):
        telling.end(None)
        raise
    finally:
        telling.close()


def set_damaged_aside(layout: Layout) -> bool:
    """Whether there is a checkpoint to go on from. One that was cut short while it was written is renamed: nnU-Net
    writes in place, takes the latest before the best, and would fail on it for ever."""
    for which in ("latest", "best"):
        path = layout.checkpoint(which)
        if not path.exists():
            continue
        if zipfile.is_zipfile(path):  # its directory comes last
            return True
        path.rename(path.with_name(f"{path.name}.damaged"))
        print(f"{clean(str(path))}: cut short; set aside as {path.name}.damaged", flush=True)
    return False


def _folds(layout: Layout) -> list[dict[str, list[str]]]:
    """The cases in train and val of each fold."""
    folds: list[dict[str, list[str]]] = json.loads((layout.dataset / FOLDS).read_text("utf-8"))
    return folds
